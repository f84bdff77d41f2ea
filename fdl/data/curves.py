"""Pictures of smooth strokes, each made from three random points: six numbers that an autoencoder has to find."""

import numpy as np

from fdl.data.sources import Dataset, Examples

SIDE, POINTS = 28, 64


def curves(train: int = 20_000, test: int = 10_000, *, width: float = 0.7, seed: int = 0) -> Dataset:
    """Strokes along the parabola through three points, after the curves of Hinton & Salakhutdinov 2006.

    image float32 (n, 28, 28, 1) in [0, 1]: exp(-d² / 2 width²) at d pixels from the stroke; points float32 (n, 3, 2),
    where it begins, is half-way and ends, as (row, column).  The paper says little more of its set than that three
    random points made each curve, https://doi.org/10.1126/science.1127647; range and width here are such that 18
    principal components leave the squared error they leave there, 5.9.
    Raises ValueError unless there are examples of both kinds and width > 0.
    """
    if min(train, test) < 1 or not width > 0:
        raise ValueError(f"train and test must be at least 1 and width above 0, got {train}, {test} and {width}")
    points = np.random.default_rng(seed).uniform(6, SIDE - 7, (train + test, 3, 2)).astype(np.float32)
    drawn = np.concatenate([_drawn(points[i : i + 500], width) for i in range(0, len(points), 500)])
    examples = {"image": drawn[..., None], "points": points}
    return Dataset(_rows(examples, slice(train)), _rows(examples, slice(train, None)))


def _drawn(points: np.ndarray, width: float) -> np.ndarray:
    """(n, 3, 2) -> images (n, 28, 28)"""
    t = np.linspace(0, 1, POINTS, dtype=np.float32)
    weights = np.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)], -1)  # Lagrange's, at 0, 1/2 and 1
    stroke = weights @ points
    pixels = np.arange(SIDE, dtype=np.float32)
    rows, columns = (np.square(pixels[:, None] - stroke[:, None, :, axis]) for axis in (0, 1))
    nearest = (rows[:, :, None] + columns[:, None]).min(-1)
    return np.exp(-nearest / np.float32(2 * width**2))


def _rows(examples: Examples, rows: slice) -> Examples:
    return {name: array[rows] for name, array in examples.items()}
