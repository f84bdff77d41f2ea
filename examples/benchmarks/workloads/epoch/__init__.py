"""A whole epoch of MNIST as users run it: load, shuffle, shift, train, count, evaluate.

The first epoch takes the same order everywhere, which is checked; in those that are timed each shuffles by itself.
"""

import numpy as np

from examples.benchmarks.workload import Optimizer, Workload, forward, trained

BATCH, STEPS, EVALUATED, SHIFT = 100, 600, 10_000, 2


def mnist(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """The training images, and by how many pixels each is moved."""
    from fdl import data

    train, _ = data.mnist()
    assert len(train["label"]) == count
    return train | {"shift": rng.integers(-SHIFT, SHIFT + 1, (count, 2)).astype(np.int32)}


WORKLOADS = {
    "epoch": Workload(
        folder="epoch",
        title="An epoch of MNIST, perceptron 784-800-10: shuffled, shifted, trained in 600 batches of 100, evaluated",
        batch=BATCH,
        batches=STEPS,
        unit="epoch",
        curve=1,
        examples=mnist,
        products=trained(STEPS, BATCH, 784, 800, first=True)
        + trained(STEPS, BATCH, 800, 10)
        + forward(1, EVALUATED, 784, 800)
        + forward(1, EVALUATED, 800, 10),
        optimizer=Optimizer("sgd", 0.05),
        peers=("torch", "torch.compile", "linen"),
        drawn="the first epoch is compared, over its first five steps, with a given order; shifts are given as data",
    )
}
