"""One of two processes of a run by train.fit: begun and stopped, then gone on with, from a damaged checkpoint too."""

import io
import json
import os
import signal
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fdl import data, distributed, nn, optim, train, tree
from fdl.distributed import fsdp, replicate
from fdl.train.checkpoint import disk

FOLDER, LIFE = Path(sys.argv[1]), sys.argv[2]
distributed.init(heartbeat=30, timeout=60)
layout = fsdp(replicate(distributed.make_mesh(data=-1)), least=100)
model, optimizer = nn.serial(nn.dense(16, 32), nn.dropout(0.1), nn.dense(32, 4)), optim.adam(1e-2)
examples = {"x": np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)}
examples["y"] = np.tanh(examples["x"][:, :4])
batches = data.shuffled(examples, batch=16, seed=5)
batch_at = distributed.split_batches(batches, layout)


def square(params, state, batch, key):
    y, state = model.apply(params, state, batch["x"], key=key, train=True)
    return jnp.mean((y - batch["y"]) ** 2), (state, {})


def asking(k):
    """The batches; process 1 alone is told to end when one is asked for."""
    if k == 17 and jax.process_index() == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return batch_at(k)


def full(path, parts):
    raise OSError(28, "No space left on device")


def fit(batches=batch_at, directory=FOLDER, rate=1e-2):
    start = distributed.init_state(model.init, optimizer, layout)
    saving = train.Saving(every=4, config={"rate": rate})
    state, rows = train.fit(step, start, batches, steps=33, every=11, directory=directory, saving=saving, progress=out)
    moved = [a.sharding != b.sharding for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(start))]
    return {
        "digest": tree.digest(distributed.gather(state)),
        "rows": [{name: row[name] for name in ("step", "loss")} for row in rows],
        "moved": sum(moved),
    }


step, out = train.make_train_step(distributed.on_mesh(square, layout), optimizer), train.Progress(io.StringIO())
found = {}
if LIFE == "begin":
    found["whole"] = fit(directory=None)
    try:
        fit(asking)
    except train.StoppedError as stopped:
        found |= {"stopped": stopped.step, "code": stopped.code}
else:
    found["on"] = fit()
    found["said"] = out.stream.getvalue().splitlines()[0]
    # A part that process 1 alone reads is damaged: both go back to the checkpoint before, and to the same end.
    newest = FOLDER / "step_00000033" / "arrays-00001-of-00002.safetensors"
    if jax.process_index() == 1:
        content = bytearray(newest.read_bytes())
        content[-1] ^= 1
        newest.write_bytes(content)
    distributed.require_equal("the damage", 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found["again"] = fit()
    found["warned"] = [str(warning.message) for warning in caught]
    try:
        fit(rate=2e-2)
    except train.checkpoint.ConfigError as error:
        found["refused"] = str(error)
    try:
        fit(rate=jax.process_index())
    except distributed.DisagreementError as error:
        found["differ"] = str(error)
    found["resident"] = fit(batches, directory=None)
    # The disk of process 1 is full: both are told, nothing is left behind.
    if jax.process_index() == 1:
        disk.write = full
    try:
        train.checkpoint.save(FOLDER / "full", distributed.init_state(model.init, optimizer, layout))
    except OSError as error:
        found["full"] = str(error)
    distributed.require_equal("the end", 0)
    found["left"] = os.listdir(FOLDER / "full")
print(json.dumps(found), flush=True)
