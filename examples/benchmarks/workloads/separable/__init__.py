"""A net of depthwise-separable convolutions with batch norm, after MobileNet, on images of 32×32."""

from examples.benchmarks.workload import Optimizer, Product, Workload, conv, images, trained

BATCH = 64
PLAN = [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
"""(channels in, channels out, stride) of each block."""


def products() -> tuple[Product, ...]:
    """Those of the stem, the pointwise convolutions and the head; depthwise ones are no products of matrices."""
    found, side = conv(BATCH, 32, 3, 3, 32, first=True), 32
    for in_dim, dim, stride in PLAN:
        side //= stride
        found += conv(BATCH, side, 1, in_dim, dim)
    return found + trained(1, BATCH, 256, 10)


WORKLOADS = {
    "separable": Workload(
        folder="separable",
        title=f"Depthwise-separable net with batch norm, 32×32×3, batch {BATCH}, SGD with momentum",
        batch=BATCH,
        examples=images(32, 3),
        products=products(),
        optimizer=Optimizer("sgd", 0.01),
    )
}
