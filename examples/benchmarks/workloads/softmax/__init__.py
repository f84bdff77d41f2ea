"""Softmax regression: the smallest step there is, which measures what is around it."""

from examples.benchmarks.workload import Optimizer, Workload, images, trained

WORKLOADS = {
    "softmax": Workload(
        folder="softmax",
        title="Softmax regression 784-10, batch 250, Adam",
        batch=250,
        examples=images(28, 1),
        products=trained(1, 250, 784, 10, first=True),
        optimizer=Optimizer("adam", 2e-3),
    )
}
