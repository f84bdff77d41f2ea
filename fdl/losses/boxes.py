"""Losses of boxes: 1 less an overlap, from corners (left, top, right, bottom) in the last axis, in any unit.

A box whose right is not beyond its left, or bottom not beyond its top, is empty: its area is 0.  Values and gradients
are finite for all boxes; two empty boxes overlap by 0.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_mask, require_shape
from fdl.losses.inputs import keep_only, masked, promote, require_pair


class Overlap(NamedTuple):
    """Of each pair of boxes: intersection over union, the union, and the widths and heights of the box around both."""

    ratio: jax.Array
    union: jax.Array
    around: jax.Array


def box_iou(boxes: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """1 - IoU, the intersection over the union.  (..., 4), (..., 4) -> (...)

    Boxes that do not touch have the loss 1 and the gradient 0.
    """
    boxes, target, keep = _checked(boxes, target, where)
    return masked(keep, 1 - _overlap(boxes, target).ratio)


def box_giou(boxes: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """1 - IoU + the share of the box around both that neither covers.  (..., 4), (..., 4) -> (...)

    https://arxiv.org/abs/1902.09630
    """
    boxes, target, keep = _checked(boxes, target, where)
    overlap = _overlap(boxes, target)
    hull = jnp.prod(overlap.around, axis=-1)
    return masked(keep, 1 - overlap.ratio + _divide(hull - overlap.union, hull))


def box_diou(boxes: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """1 - IoU + (distance of the centres / diagonal of the box around both)².  (..., 4), (..., 4) -> (...)

    https://arxiv.org/abs/1911.08287
    """
    boxes, target, keep = _checked(boxes, target, where)
    overlap = _overlap(boxes, target)
    return masked(keep, 1 - overlap.ratio + _apart(boxes, target, overlap))


def box_ciou(boxes: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """box_diou + α v for v = 4/π² (difference of arctan(width / height))², α = v / (1 - IoU + v).

    (..., 4), (..., 4) -> (...)

    α is a weight and passes no gradient.  https://arxiv.org/abs/1911.08287
    """
    boxes, target, keep = _checked(boxes, target, where)
    overlap = _overlap(boxes, target)
    v = 4 / math.pi**2 * jnp.square(_angle(boxes) - _angle(target))
    weight = jax.lax.stop_gradient(_divide(v, 1 - overlap.ratio + v))
    return masked(keep, 1 - overlap.ratio + _apart(boxes, target, overlap) + weight * v)


def _checked(boxes: ArrayLike, target: ArrayLike, where: ArrayLike | None):
    require_pair(boxes, target, "boxes")
    require_shape(boxes, ..., 4, name="boxes", hint="left, top, right and bottom are the last axis")
    keep = require_mask(where, jnp.shape(boxes)[:-1])
    return *keep_only(keep, *promote(boxes, target)), keep


def _overlap(a: jax.Array, b: jax.Array) -> Overlap:
    area = lambda low, high: jnp.prod(jax.nn.relu(high - low), axis=-1)
    shared = area(jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:]))
    union = area(a[..., :2], a[..., 2:]) + area(b[..., :2], b[..., 2:]) - shared
    corners = jnp.stack([a[..., :2], a[..., 2:], b[..., :2], b[..., 2:]])
    return Overlap(_divide(shared, union), union, jnp.max(corners, axis=0) - jnp.min(corners, axis=0))


def _apart(a: jax.Array, b: jax.Array, overlap: Overlap) -> jax.Array:
    centre = lambda box: (box[..., :2] + box[..., 2:]) / 2
    return _divide(*(jnp.sum(jnp.square(x), axis=-1) for x in (centre(a) - centre(b), overlap.around)))


def _angle(box: jax.Array) -> jax.Array:
    """arctan(width / height), 0 with gradient 0 for a point."""
    width, height = jnp.moveaxis(jax.nn.relu(box[..., 2:] - box[..., :2]), -1, 0)
    point = (width == 0) & (height == 0)
    return jnp.where(point, 0, jnp.arctan2(width, jnp.where(point, 1, height)))


def _divide(part: jax.Array, whole: jax.Array) -> jax.Array:
    """part / whole, 0 with gradient 0 where whole is not positive."""
    some = whole > 0
    return jnp.where(some, part / jnp.where(some, whole, 1), 0)
