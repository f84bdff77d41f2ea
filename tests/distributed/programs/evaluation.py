"""Evaluation of 1, 7 and 10,000 examples on 1, 2, 4 and 8 devices, by batches of many sizes."""

import json

import jax
import numpy as np

from fdl import distributed, metrics, nn, train
from fdl.distributed import data_parallel, replicate

draw = np.random.default_rng(0).integers
# Whole numbers, so that logits are exact however they are summed up, and ties are many.
examples = {"x": draw(-3, 4, (10_000, 16)).astype(np.float32), "label": draw(0, 10, 10_000, np.int32)}
kernel = draw(-3, 4, (16, 10)).astype(np.float32)
model = nn.dense(16, 10, use_bias=False)
BATCHES = {1: (1000,), 7: (3, 1000), 10_000: (999, 10_000)}


def predict(params, state, batch):
    return model.apply(params, state, batch["x"])[0], batch["label"]


found = []
for devices in (1, 2, 4, 8):
    layout = data_parallel(replicate(distributed.make_mesh(devices=jax.devices()[:devices], data=-1)))
    state = train.TrainState(
        0, (), distributed.put({"kernel": kernel}, jax.NamedSharding(layout.mesh, jax.P())), {}, ()
    )
    measured = {"correct": metrics.correct(), "accuracy": metrics.accuracy()}
    evaluate = train.make_evaluate(distributed.on_mesh(predict, layout, strict=False), measured)
    for size, batches in BATCHES.items():
        some = {name: rows[:size] for name, rows in examples.items()}
        right = int(((some["x"] @ kernel).argmax(-1) == some["label"]).sum())
        for batch in batches:
            found.append({"want": [right, right / size]} | evaluate(state, some, batch=batch))
print(json.dumps(found))
