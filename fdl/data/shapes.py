"""Drawn shapes with planted factors: a data set whose hidden causes are known, because it was made from them.

Each picture is the outline of a disc, a square or a triangle on black.  The six factors are drawn independently: which
shape, its radius, where its middle lies, its colour between red and blue, and the width of the stroke.
"""

import numpy as np

SHAPES = ("disc", "square", "triangle")
SIZE = 32  # pixels
FACTORS = {  # ranges, uniform; lengths in pixels
    "scale": (4.5, 9.0),
    "x": (11.0, 21.0),
    "y": (11.0, 21.0),
    "colour": (0.0, 1.0),
    "stroke": (1.0, 3.0),
}
CHUNK = 1000  # pictures drawn at once


def shapes(count: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Pictures and the factors that made them; generated, equal bits for equal seeds.

    image uint8 (n, 32, 32, 3); shape int32 (n,), 0 disc, 1 square, 2 triangle; scale (the radius of the circle around
    the shape), x, y (its middle), colour (0 red, 1 blue) and stroke float32 (n,).  Raises ValueError for count < 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    rng = np.random.default_rng(seed)
    factors = {"shape": rng.integers(len(SHAPES), size=count).astype(np.int32)}
    factors |= {name: rng.uniform(*span, count).astype(np.float32) for name, span in FACTORS.items()}
    parts = [{name: f[i : i + CHUNK] for name, f in factors.items()} for i in range(0, count, CHUNK)]
    return {"image": np.concatenate([draw(**part) for part in parts])} | factors


def draw(shape, scale, x, y, colour, stroke) -> np.ndarray:
    """The pictures of these factors, each (n,).  -> uint8 (n, 32, 32, 3)

    Ink is where the distance to the outline is below half the stroke; a pixel at its rim is covered in part.
    """
    shape, scale, x, y, colour, stroke = (np.asarray(f)[:, None, None] for f in (shape, scale, x, y, colour, stroke))
    pixels = np.arange(SIZE, dtype=np.float32)
    right, down = pixels[None, None, :] - x, pixels[None, :, None] - y
    distance = np.choose(shape, [_disc(right, down, scale), _square(right, down, scale), _triangle(right, down, scale)])
    ink = np.clip(0.5 + stroke / 2 - np.abs(distance + stroke / 2), 0, 1)  # the stroke lies inside the shape
    tint = np.stack([1 - colour, np.full_like(colour, 0.2), colour], -1)
    return np.round(255 * ink[..., None] * tint).astype(np.uint8)


def _disc(right, down, scale):
    """Distance to the rim, negative inside; the same below."""
    return np.hypot(right, down) - scale


def _square(right, down, scale):
    return np.maximum(np.abs(right), np.abs(down)) - scale / np.sqrt(2)


def _triangle(right, down, scale):
    sides = [np.cos(angle) * right + np.sin(angle) * down for angle in (np.pi / 2, np.pi * 7 / 6, -np.pi / 6)]
    return np.maximum.reduce(sides) - scale / 2
