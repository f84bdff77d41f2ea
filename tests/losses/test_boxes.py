"""Boxes against counted pixels and the papers' formulas in torch; empty boxes and boxes that do not touch."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import ShapeError

RNG = np.random.default_rng(0)
LOW = RNG.uniform(0, 4, (2, 40, 2))
A, B = np.concatenate([LOW, LOW + RNG.uniform(0.5, 5, (2, 40, 2))], axis=-1)
ALL = [losses.box_iou, losses.box_giou, losses.box_diou, losses.box_ciou]
every_loss = pytest.mark.parametrize("loss", ALL, ids=lambda f: f.__name__)


def filled(box):
    """The unit pixels of a box with whole corners."""
    y, x = np.mgrid[:12, :12]
    return (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])


def test_overlaps_equal_counted_pixels(agrees):
    low = RNG.integers(0, 7, (2, 30, 2))
    a, b = np.concatenate([low, low + RNG.integers(0, 5, (2, 30, 2))], axis=-1)
    a[0], b[0] = b[1], b[1]
    shared = np.array([(filled(p) & filled(q)).sum() for p, q in zip(a, b)])
    union = np.array([(filled(p) | filled(q)).sum() for p, q in zip(a, b)])
    around = [np.concatenate([np.minimum(p[:2], q[:2]), np.maximum(p[2:], q[2:])]) for p, q in zip(a, b)]
    hull = np.array([filled(box).sum() for box in around])
    iou = shared / np.maximum(union, 1)
    with jax.enable_x64(True):
        x, y = a.astype(float), b.astype(float)
        agrees.values("losses.box_iou", "counted pixels", losses.box_iou(x, y), 1 - iou)
        want = 1 - iou + (hull - union) / np.maximum(hull, 1)
        agrees.values("losses.box_giou", "counted pixels", losses.box_giou(x, y), want)


def definition(torch, name):
    """The loss of boxes of positive area, as the papers write it: 1 - IoU + R."""

    def loss(a, b):
        (ax, ay, ar, ab), (bx, by, br, bb) = a.unbind(-1), b.unbind(-1)
        wide = (torch.minimum(ar, br) - torch.maximum(ax, bx)).clamp(min=0)
        high = (torch.minimum(ab, bb) - torch.maximum(ay, by)).clamp(min=0)
        union = (ar - ax) * (ab - ay) + (br - bx) * (bb - by) - wide * high
        iou = wide * high / union
        c_wide, c_high = torch.maximum(ar, br) - torch.minimum(ax, bx), torch.maximum(ab, bb) - torch.minimum(ay, by)
        hull = c_wide * c_high
        rho = ((ax + ar - bx - br) ** 2 + (ay + ab - by - bb) ** 2) / 4
        diou = rho / (c_wide**2 + c_high**2)
        v = 4 / math.pi**2 * (torch.atan((br - bx) / (bb - by)) - torch.atan((ar - ax) / (ab - ay))) ** 2
        alpha = (v / (1 - iou + v)).detach()
        extra = {"iou": 0 * iou, "giou": (hull - union) / hull, "diou": diou, "ciou": diou + alpha * v}
        return 1 - iou + extra[name]

    return loss


@every_loss
def test_equal_torch(agrees, loss):
    torch = pytest.importorskip("torch")
    agrees.torch(f"losses.{loss.__name__}", loss, definition(torch, loss.__name__[4:]), A, B)


@every_loss
def test_equal_boxes_have_the_loss_zero_and_far_ones_the_most(loss):
    box = jnp.array([1.0, 2.0, 5.0, 4.0])
    assert loss(box, box) == pytest.approx(0, abs=1e-6)
    far = loss(box, box + 1e4)
    assert far >= 1
    assert far <= 2 + 1e-6
    pull = jax.grad(loss)(box, box + 8)
    assert jnp.any(pull != 0) == (loss is not losses.box_iou)


@every_loss
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0)),
        ((1, 1, 1, 3), (1, 1, 1, 3)),
        ((1, 1, 3, 1), (0, 0, 4, 4)),
        ((3, 3, 1, 1), (0, 0, 4, 4)),
        ((3, 3, 1, 1), (3, 3, 1, 1)),
        ((0, 0, 1, 1), (1, 1, 2, 2)),
        ((0, 0, 4, 4), (0, 0, 4, 4)),
        ((0, 0, 1e18, 1e-18), (0, 0, 1e-18, 1e18)),
    ],
)
def test_values_and_gradients_are_finite(loss, a, b):
    value, gradients = jax.value_and_grad(loss, (0, 1))(jnp.array(a, float), jnp.array(b, float))
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(g).all() for g in gradients)
    if (a[2] - a[0]) * (a[3] - a[1]) == 0 or a[2] < a[0]:
        assert value >= 1


def test_the_last_axis_is_the_box():
    with pytest.raises(ShapeError, match="left, top, right and bottom"):
        losses.box_iou(jnp.zeros((4, 2)), jnp.zeros((4, 2)))
