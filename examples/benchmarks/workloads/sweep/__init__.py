"""64 learning rates at once on a small perceptron."""

import numpy as np

from examples.benchmarks.workload import Workload, images, trained

COUNT, BATCH, HIDDEN = 64, 100, 32
RATES = np.geomspace(1e-4, 1e-2, COUNT).astype(np.float32)

WORKLOADS = {
    "sweep": Workload(
        folder="sweep",
        title=f"Sweep of {COUNT} learning rates, perceptron 784-{HIDDEN}-10, batch {BATCH}, Adam",
        batch=BATCH,
        unit=f"step of all {COUNT}",
        examples=images(28, 1),
        products=trained(COUNT, BATCH, 784, HIDDEN, first=True) + trained(COUNT, BATCH, HIDDEN, 10),
        peers=("torch", "linen"),
        drawn="nothing is drawn; the mean loss of all configurations is compared",
    )
}
