"""ResNet-20 on images of 32×32, with batch norm; its shortcuts have no parameters."""

from examples.benchmarks.workload import Optimizer, Product, Workload, conv, images, trained

BATCH = 64
PLAN = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
"""(channels in, channels out, stride) of each block."""


def products() -> tuple[Product, ...]:
    """Those of the stem, two convolutions a block, and the head."""
    found, side = conv(BATCH, 32, 3, 3, 16, first=True), 32
    for in_dim, dim, stride in PLAN:
        side //= stride
        found += conv(BATCH, side, 3, in_dim, dim) + conv(BATCH, side, 3, dim, dim)
    return found + trained(1, BATCH, 64, 10)


WORKLOADS = {
    "resnet20": Workload(
        folder="resnet",
        title=f"ResNet-20 with batch norm, 32×32×3, batch {BATCH}, SGD with momentum",
        batch=BATCH,
        examples=images(32, 3),
        products=products(),
        optimizer=Optimizer("sgd", 0.01),
    )
}
