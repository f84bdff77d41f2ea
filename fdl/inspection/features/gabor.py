"""Gabor functions, a wave under a Gaussian window: what simple cells, and first layers, are compared with."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.compile import compile
from fdl.optim import levenberg_marquardt

WIDTHS = ((1.2, 1.2), (2.0, 2.0), (1.2, 2.5), (3.0, 3.0))  # pixels, where fits begin: across the wave, along its crests


class Gabor(NamedTuple):
    """exp(-(u / across)² / 2 - (v / along)² / 2) · (even · cos(2π frequency u) + odd · sin(2π frequency u))

    u is the distance from (x, y) in the direction `angle`, v at right angles to it; pixels from the middle, radians,
    waves a pixel.  `across` and `along` are kept as logarithms.
    """

    even: jax.Array
    odd: jax.Array
    x: jax.Array
    y: jax.Array
    angle: jax.Array
    log_across: jax.Array
    log_along: jax.Array
    frequency: jax.Array


def gabor(shape: Gabor, height: int, width: int) -> jax.Array:
    """One Gabor function on a grid.  () of each field -> (height, width)   Daugman 1985"""
    envelope, even, odd = _parts(shape, height, width)
    return envelope * (shape.even * even + shape.odd * odd)


def fit_gabor(filters: jax.Array) -> tuple[Gabor, jax.Array]:
    """The Gabor function nearest to each filter, and its R².  float (n, height, width) -> Gabor of (n,), (n,)

    By Levenberg-Marquardt from several windows around the filter's middle, with the wave of its strongest frequency;
    the best is kept.  R² is one minus the share of the filter's variance that is left.
    """
    require_float(filters, "filters")
    require_shape(filters, None, None, None, name="filters", hint="(n, height, width), one channel")
    return _fit(filters)


def _fit_all(filters):
    height, width = filters.shape[1:]

    def fit(image, start):
        found = levenberg_marquardt(lambda shape: gabor(shape, height, width) - image, start, max_steps=60)
        return found.params, found.cost

    def best(image):
        image = image / jnp.maximum(jnp.max(jnp.abs(image)), jnp.finfo(image.dtype).tiny)
        shapes, costs = jax.vmap(fit, (None, 0))(image, _starts(image))
        costs = jnp.where(jnp.isfinite(costs), costs, jnp.inf)
        first = jnp.argmin(costs)
        return jax.tree.map(lambda leaf: leaf[first], shapes), 1 - 2 * costs[first] / (image.size * jnp.var(image))

    shapes, r_squared = jax.vmap(best)(filters)
    size = jnp.max(jnp.abs(filters), (1, 2))
    return shapes._replace(even=shapes.even * size, odd=shapes.odd * size), r_squared


def _starts(image: jax.Array) -> Gabor:
    """One start a window: its middle where the filter's power lies, the wave that is strongest in its spectrum."""
    height, width = image.shape
    power = jnp.square(image) / jnp.sum(jnp.square(image))
    rows, columns = _grid(height, width, image.dtype)
    x, y = jnp.sum(power * columns), jnp.sum(power * rows)
    size = 4 * max(height, width)
    spectrum = jnp.abs(jnp.fft.rfft2(image - image.mean(), (size, size)))
    peak = jnp.argmax(spectrum)
    by_row = jnp.fft.fftfreq(size)[peak // spectrum.shape[1]].astype(image.dtype)
    by_column = (peak % spectrum.shape[1]).astype(image.dtype) / size
    angle, frequency = jnp.arctan2(by_row, by_column), jnp.hypot(by_row, by_column)

    def start(across, along):
        zero = jnp.zeros_like(x)
        shape = Gabor(zero, zero, x, y, angle, across, along, frequency)
        envelope, even, odd = _parts(shape, height, width)
        basis = jnp.stack([(envelope * even).ravel(), (envelope * odd).ravel()], 1)
        amplitude = jnp.linalg.lstsq(basis, image.ravel())[0]
        return shape._replace(even=amplitude[0], odd=amplitude[1])

    return jax.vmap(start)(*jnp.log(jnp.asarray(WIDTHS, image.dtype)).T)


def _parts(shape: Gabor, height: int, width: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The window, and the cosine and the sine of the wave.  Each (height, width)"""
    rows, columns = _grid(height, width, shape.x.dtype)
    rows, columns = rows - shape.y, columns - shape.x
    u = jnp.cos(shape.angle) * columns + jnp.sin(shape.angle) * rows
    v = jnp.cos(shape.angle) * rows - jnp.sin(shape.angle) * columns
    envelope = jnp.exp(-jnp.square(u / jnp.exp(shape.log_across)) / 2 - jnp.square(v / jnp.exp(shape.log_along)) / 2)
    phase = 2 * jnp.pi * shape.frequency * u
    return envelope, jnp.cos(phase), jnp.sin(phase)


def _grid(height: int, width: int, dtype) -> tuple[jax.Array, jax.Array]:
    """Distance of every pixel from the middle, down and to the right."""
    rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    return rows.astype(dtype) - (height - 1) / 2, columns.astype(dtype) - (width - 1) / 2


_fit = compile(_fit_all)
