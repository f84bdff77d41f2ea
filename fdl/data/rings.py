"""Two rings, one around the other: nothing for a line, until the plane is written in polar coordinates."""

from typing import Any

import jax.numpy as jnp
import numpy as np

RADII = ((0.5, 1.0), (1.5, 2.0))  # inner and outer radius of each ring


def rings(count: int, *, flip: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Points of the inner ring, label 0, and the outer, label 1, as many of each.  x float32 (n, 2), label int32 (n,)

    Angle and radius are uniform.  The share `flip` of the labels, those drawn, is the other one's, so that no rule does
    better on fresh points than 1 - flip: the Bayes rate.  Raises ValueError unless count is even, flip in [0, 1/2].
    """
    if count < 2 or count % 2:
        raise ValueError(f"count must be even, as many of each ring, and at least 2, got {count}")
    if not 0 <= flip <= 0.5:
        raise ValueError(f"flip is a share of labels from 0 to 0.5, got {flip}")
    rng = np.random.default_rng(seed)
    ring = rng.permutation(np.arange(count) % 2)
    low, high = np.transpose(RADII)[:, ring]
    radius, angle = rng.uniform(low, high), rng.uniform(-np.pi, np.pi, count)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    label = np.where(rng.random(count) < flip, 1 - ring, ring)
    return {"x": x.astype(np.float32), "label": label.astype(np.int32)}


def to_polar(x: Any) -> Any:
    """Radius and angle, in radians from -π to π, of points of the plane; NumPy or JAX.  (..., 2) -> (..., 2)"""
    if x.shape[-1] != 2:
        raise ValueError(f"points of the plane have 2 coordinates in the last axis, got shape {x.shape}")
    xp = np if isinstance(x, np.ndarray) else jnp
    return xp.stack([xp.hypot(x[..., 0], x[..., 1]), xp.arctan2(x[..., 1], x[..., 0])], -1)
