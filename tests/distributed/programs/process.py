"""One of several processes: a run together, its data, metrics, checkpoints and its end."""

import json
import os
import signal
import sys
import time
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fdl import data, distributed, metrics, nn, optim, train, tree
from fdl.distributed import fsdp, replicate

OLD, NEW = sys.argv[1:3]
distributed.init(heartbeat=30, timeout=60, config={"rate": 1e-2})
layout = fsdp(replicate(distributed.make_mesh(data=-1)), least=100)
model, optimizer = nn.mlp(16, 64, 4), optim.adam(1e-2)
examples = {"x": np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)}
examples["y"] = np.tanh(examples["x"][:, :4])
batches = data.shuffled(examples, batch=16, seed=5)


def square(params, state, batch, key):
    y, state = model.apply(params, state, batch["x"], key=key, train=True)
    return jnp.mean((y - batch["y"]) ** 2), (state, {})


def predict(params, state, batch):
    return model.apply(params, state, batch["x"])[0], batch["y"].argmax(-1).astype(jnp.int32)


step = train.make_train_step(distributed.on_mesh(square, layout), optimizer)
state = distributed.init_state(model.init, optimizer, layout)
batch_at = distributed.split_batches(batches, layout)
found = {"process": jax.process_index(), "processes": jax.process_count(), "devices": jax.device_count()}
first = batch_at(0)["x"]
found["rows_here"] = sum(len(part.data) for part in first.addressable_shards)
found["batch"] = tree.digest({"x": distributed.gather(first)})
own = data.indices(5, 0, size=64, batch=16)[8 * jax.process_index() :][:8]
joined = distributed.join({"x": examples["x"][own]}, layout)["x"]
found["joined"] = bool((distributed.gather(joined) == distributed.gather(first)).all())
for batch in data.prefetch(batch_at, range(3)):
    state, log = step(state, batch)
found["loss"] = float(log["loss"])
distributed.require_equal_copies(state)
everywhere = jax.NamedSharding(layout.mesh, jax.P())
found["moved"] = tree.digest(distributed.put(state.params, everywhere)) == tree.digest(distributed.gather(state.params))
resident = data.shuffled(distributed.put(examples, everywhere), batch=16, seed=5)
evaluate = train.make_evaluate(distributed.on_mesh(predict, layout, strict=False), {"correct": metrics.correct()})
some = [jax.tree.map(lambda leaf, size=size: leaf[:size], examples) for size in (1, 7, 64)]
found["correct"] = [evaluate(state, one, batch)["correct"] for one in some for batch in (3, 16)]
found["params"] = {path: leaf.tolist() for path, leaf in tree.flatten(distributed.gather(state.params)).items()}
looped, _ = train.run(step, distributed.init_state(model.init, optimizer, layout), resident, 3)
pairs = zip(jax.tree.leaves(distributed.gather(looped.params)), jax.tree.leaves(distributed.gather(state.params)))
found["loop"] = max(float(np.abs(a - b).max()) for a, b in pairs)

# Tensors and sequences split across the processes.
tensor = distributed.tensor_parallel(
    replicate(distributed.make_mesh(model=2, data=2)), columns=["dense_0/*"], rows=["dense_1/kernel"]
)
both = fsdp(tensor, least=100)
two_way, both_at = distributed.init_state(model.init, optimizer, both), distributed.split_batches(batches, both)
both_step = train.make_train_step(distributed.on_mesh(square, both), optimizer)
for k in range(3):
    two_way, _ = both_step(two_way, both_at(k))
pairs = zip(jax.tree.leaves(distributed.gather(two_way.params)), jax.tree.leaves(distributed.gather(state.params)))
found["tensor"] = max(float(np.abs(a - b).max()) for a, b in pairs)

ring_mesh, spec = distributed.make_mesh(sequence=4), jax.P(None, "sequence")
attend = partial(distributed.ring_attention, axis="sequence", causal=True)
ring = jax.shard_map(attend, mesh=ring_mesh, in_specs=spec, out_specs=spec)
whole = np.random.default_rng(1).normal(size=(3, 2, 16, 2, 4)).astype(np.float32)
parts = distributed.put(tuple(whole), jax.NamedSharding(ring_mesh, spec))
want = nn.dot_product_attention(*map(jnp.asarray, whole), causal=True)
found["ring"] = float(np.abs(distributed.gather(jax.jit(ring)(*parts)) - np.asarray(want)).max())

# The checkpoint of eight devices in one process, and one of ours.
like = jax.eval_shape(lambda state: state, distributed.init_state(nn.mlp(16, 64, 16).init, optimizer, layout))
warnings.filterwarnings("ignore", "(?s).*environment")  # of eight devices
old, _ = distributed.checkpoint.restore(OLD, like, layout)
found["restored"] = tree.digest(distributed.gather(old))
distributed.checkpoint.save(NEW, state)
found["saved"] = tree.digest(distributed.gather(state))
try:
    distributed.checkpoint.save("/proc/not_there", state)
    found["refused"] = "nothing"
except (OSError, train.checkpoint.CheckpointError) as error:
    found["refused"] = type(error).__name__
try:
    distributed.require_equal("the seed", jax.process_index())
    found["equal"] = "nothing"
except distributed.DisagreementError as error:
    found["equal"] = str(error)

# One process alone is told to end; all stop after the same step.
if jax.process_index() == 1:
    os.kill(os.getpid(), signal.SIGTERM)
for k in range(3, 2000):
    state, _ = step(state, batch_at(k))
    if distributed.preempted(k):
        break
    time.sleep(0.01)
found["stopped"] = k
print(json.dumps(found), flush=True)
