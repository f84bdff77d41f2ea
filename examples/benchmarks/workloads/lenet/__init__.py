"""A convolutional network after LeNet-5, with rectifiers and max-pooling."""

from examples.benchmarks.workload import Optimizer, Workload, conv, images, trained

BATCH = 128

WORKLOADS = {
    "lenet": Workload(
        folder="lenet",
        title=f"LeNet-like, 28×28, convolutions of 20 and 50 channels, batch {BATCH}, SGD with momentum",
        batch=BATCH,
        examples=images(28, 1),
        products=conv(BATCH, 24, 5, 1, 20, first=True)
        + conv(BATCH, 8, 5, 20, 50)
        + trained(1, BATCH, 800, 500)
        + trained(1, BATCH, 500, 10),
        optimizer=Optimizer("sgd", 0.01),
        flattened={"hidden": (4, 4, 50)},
    )
}
