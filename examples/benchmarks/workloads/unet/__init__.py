"""A small U-Net on images of 64×64: three levels of 16, 32 and 64 channels, pixels repeated on the way up."""

import numpy as np

from examples.benchmarks.workload import Optimizer, Product, Workload, conv

BATCH, SIDE = 8, 64
PLAN = {
    "down0": (1, 16),
    "down1": (16, 32),
    "bottom": (32, 64),
    "up1": (64, 32),
    "up0": (32, 16),
}
"""(channels in, channels out) of each pair of convolutions; those on the way up see the skipped half besides."""


def examples(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Images, and a mask for each pixel."""
    image = rng.standard_normal((count, SIDE, SIDE, 1), np.float32)
    return {"image": image, "mask": (image > 0.5).astype(np.float32)}


def products() -> tuple[Product, ...]:
    """Those of all convolutions."""
    found: tuple[Product, ...] = ()
    sides = {"down0": SIDE, "down1": SIDE // 2, "bottom": SIDE // 4, "up1": SIDE // 2, "up0": SIDE}
    for name, (in_dim, dim) in PLAN.items():
        found += conv(BATCH, sides[name], 3, in_dim, dim, first=name == "down0") + conv(BATCH, sides[name], 3, dim, dim)
        found += conv(BATCH, sides[name], 3, in_dim, dim) if name.startswith("up") else ()
    return found + conv(BATCH, SIDE, 1, 16, 1)


WORKLOADS = {
    "unet": Workload(
        folder="unet",
        title=f"Small U-Net, {SIDE}×{SIDE}, 16-32-64 channels, batch {BATCH}, Adam",
        batch=BATCH,
        examples=examples,
        products=products(),
        optimizer=Optimizer("adam", 1e-3),
    )
}
