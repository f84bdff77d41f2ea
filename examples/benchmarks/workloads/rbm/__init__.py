"""A restricted Boltzmann machine, contrastive divergence with one step; the noise of the hidden units is data."""

import numpy as np

from examples.benchmarks.workload import Optimizer, Product, Workload

BATCH, VISIBLE, HIDDEN = 100, 784, 500


def examples(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Binary images, and the uniform numbers that decide the hidden units."""
    return {
        "image": (rng.random((count, VISIBLE)) < 0.2).astype(np.float32),
        "noise": rng.random((count, HIDDEN), np.float32),
    }


WORKLOADS = {
    "rbm": Workload(
        folder="rbm",
        title=f"RBM {VISIBLE}-{HIDDEN}, CD-1, batch {BATCH} (an epoch of MNIST is 600 steps), SGD with momentum",
        batch=BATCH,
        examples=examples,
        products=(
            Product(2, BATCH, VISIBLE, HIDDEN),
            Product(1, BATCH, HIDDEN, VISIBLE),
            Product(2, VISIBLE, BATCH, HIDDEN),
        ),
        optimizer=Optimizer("sgd", 0.05, 0.5),
        peers=("torch", "torch.compile", "jax"),
        drawn="the noise of the hidden units is given as data; the reconstruction error is compared",
    )
}
