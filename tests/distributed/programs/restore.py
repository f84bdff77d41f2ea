"""Save on eight devices, restore on others: the same bits, split as asked; training goes on as it would have."""

import json
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as Spec

from fdl import distributed, nn, optim, train, tree
from fdl.distributed import fsdp, replicate, tensor_parallel
from tests.train.checkpoint.states import kept

FOLDER = sys.argv[1]
KEPT = Path(__file__).parent.parent.parent / "data" / "checkpoints"
model, optimizer = nn.mlp(16, 64, 16), optim.adam(1e-2)
rows = np.random.default_rng(0).normal(size=(2, 32, 16)).astype(np.float32)


def square(params, state, batch, key):
    y, state = model.apply(params, state, batch["x"], key=key, train=True)
    return jnp.mean((y - batch["y"]) ** 2), (state, {})


def layout_of(**axes):
    size = int(np.prod(list(axes.values())))
    mesh = distributed.make_mesh(devices=jax.devices()[:size], **axes)
    both = "model" in axes
    inner = (
        tensor_parallel(replicate(mesh), columns=["dense_0/*"], rows=["dense_1/kernel"]) if both else replicate(mesh)
    )
    return fsdp(inner, least=100)


def steps(state, layout, count=2):
    for _ in range(count):
        state, _ = step(state, distributed.split({"x": rows[0], "y": rows[1]}, layout))
    return state


step = train.make_train_step(square, optimizer)
saved = steps(distributed.init_state(model.init, optimizer, layout_of(data=8)), layout_of(data=8))
digest = tree.digest(distributed.gather(saved))
distributed.checkpoint.save(FOLDER, saved, metadata={"devices": 8})
like = jax.eval_shape(lambda state: state, saved)
end = distributed.gather(steps(saved, layout_of(data=8)).params)
found = {}
for axes in ({"data": 1}, {"data": 2}, {"data": 4}, {"data": 2, "model": 4}, {"data": 4, "model": 2}):
    layout = layout_of(**axes)
    state, metadata = distributed.checkpoint.restore(FOLDER, like, layout)
    kernel = state.opt_state[0].mean["dense_0"]["kernel"]
    name = " x ".join(map(str, axes.values()))
    found[name] = {
        "equal": tree.digest(distributed.gather(state)) == digest,
        "split": [kernel.shape[i] // kernel.addressable_shards[0].data.shape[i] for i in (0, 1)],
        "metadata": metadata,
    }
    later = distributed.gather(steps(state, layout).params)
    found[name]["later"] = max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(later), jax.tree.leaves(end)))

# What two processes saved in parts, each parameter split as it was never split before.
RULES = {"dense_0/kernel": Spec(None, "model"), "dense_1/kernel": Spec("data")}
parts = {}
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "(?s).*environment")
    for axes in ({"data": 2, "model": 4}, {"data": 4, "model": 2}):
        layout = distributed.prefer(replicate(distributed.make_mesh(**axes)), RULES)
        state, _ = distributed.checkpoint.restore(KEPT / "format_3_two_processes", kept(), layout)
        parts[" x ".join(map(str, axes.values()))] = tree.digest(distributed.gather(state))
print(json.dumps({"digest": digest, "restored": found, "of two processes": parts}))
