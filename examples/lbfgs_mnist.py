"""Softmax regression by L-BFGS on all of MNIST at once:  python examples/lbfgs_mnist.py [--record FILE]

Pixels / 255, no regularisation, zero start, 100 steps of a full batch; SciPy's L-BFGS-B reaches 0.23686 in as many.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from fdl import data, losses, metrics, nn, optim, train, tree

MODEL = nn.serial(nn.flatten, nn.dense(784, 10, kernel_init=nn.zeros()))
STEPS, SCIPY, TO_REACH = 100, 0.23686, 0.238


def logits_of(params, state, batch):
    return MODEL.apply(params, state, batch["image"].astype("float32") / 255)


def loss_fn(params, state, batch, key):
    logits, state = logits_of(params, state, batch)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


def predict(params, state, batch):
    return logits_of(params, state, batch)[0], batch["label"]


def main() -> None:
    """Train, print the figure beside the reference, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, help="write the result as JSON")
    options = parser.parse_args()
    train_set, test_set = data.mnist()
    everything = jax.tree.map(jnp.asarray, train_set)
    optimizer = optim.lbfgs(memory=10)
    step = train.make_train_step(loss_fn, optimizer)
    state = train.init_state(MODEL.init, optimizer, seed=0)
    start = time.perf_counter()
    for i in range(STEPS):
        state, found = step(state, everything)
        if i % 10 == 9:
            print(f"step {i + 1:3}  loss before it {found['loss']:.5f}")
    loss = float(jax.jit(loss_fn)(state.params, state.state, everything, state.key)[0])
    seconds = time.perf_counter() - start
    correct = train.make_evaluate(predict, {"correct": metrics.correct()})(state, test_set)["correct"]
    error, search = (10000 - int(correct)) / 100, state.opt_state[-1]
    print(f"train cross-entropy {loss:.5f} after {STEPS} steps; SciPy {SCIPY}, to reach: {TO_REACH}")
    print(f"test error {error:.2f} %; SciPy 7.42 %; {int(search.evaluations)} losses, {seconds:.0f} seconds")
    if options.record:
        result = {"model": str(MODEL), "optimizer": str(optimizer), "seed": 0, "steps": STEPS}
        result |= {"train_cross_entropy": round(loss, 5), "scipy": SCIPY, "pass": TO_REACH}
        result |= {"test_error_percent": error, "evaluations": int(search.evaluations), "seconds": round(seconds, 1)}
        result |= {"machine": {"processor": platform.machine(), "cpus": os.cpu_count(), "jax": jax.__version__}}
        options.record.write_text(json.dumps(result | {"params_sha256": tree.digest(state.params)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
