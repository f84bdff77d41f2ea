"""A variational autoencoder 784-400-20; its noise is part of the data, so that all draw the same."""

import numpy as np

from examples.benchmarks.workload import Workload, trained

BATCH, PIXELS, HIDDEN, CODE = 128, 784, 400, 20


def examples(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Images as probabilities of ink, and the noise of the code."""
    return {
        "image": rng.random((count, PIXELS), np.float32),
        "noise": rng.standard_normal((count, CODE), np.float32),
    }


WORKLOADS = {
    "vae": Workload(
        folder="vae",
        title=f"VAE {PIXELS}-{HIDDEN}-{CODE}, batch {BATCH}, Adam",
        batch=BATCH,
        examples=examples,
        products=trained(1, BATCH, PIXELS, HIDDEN, first=True)
        + trained(2, BATCH, HIDDEN, CODE)
        + trained(1, BATCH, CODE, HIDDEN)
        + trained(1, BATCH, HIDDEN, PIXELS),
        drawn="the noise of the code is given as data",
    )
}
