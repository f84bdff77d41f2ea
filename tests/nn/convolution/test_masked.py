"""Masked convolutions against torch, and by what their gradients see."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from tests.nn.convolution import by_torch

RANDOM = np.random.default_rng(0)


def raster_mask(kind, height, width):
    """Cell by cell, as in the paper's figure 2."""
    mask = np.zeros((height, width), bool)
    for row, column in itertools.product(range(height), range(width)):
        before = (row, column) < (height // 2, width // 2)
        mask[row, column] = before or (kind == "B" and (row, column) == (height // 2, width // 2))
    return mask


@pytest.mark.parametrize("kind", ["A", "B"])
def test_torch_agrees_with_the_kernel_masked(kind, agrees):
    torch = pytest.importorskip("torch")
    layer = nn.masked_conv(2, 3, (3, 5), mask=kind)
    mask = torch.tensor(raster_mask(kind, 3, 5))[..., None, None]
    ours = lambda x, kernel, bias: layer.apply({"kernel": kernel, "bias": bias}, {}, x)[0]
    theirs = lambda x, kernel, bias: by_torch.conv(padding=[(1, 1), (2, 2)])(x, kernel * mask, bias)
    arrays = [RANDOM.normal(size=shape) for shape in ((2, 4, 5, 2), (3, 5, 2, 3), (3,))]
    agrees.torch(f"nn.masked_conv, {kind}", ours, theirs, *arrays)


def what_is_seen(layer, space, dim):
    """Whether output (position, channel) changes with input (position, channel), both flattened in raster order."""
    params, state = layer.init(jax.random.key(0))
    f = lambda x: layer.apply(params, state, x[None])[0][0]
    seen = np.asarray(jax.jacrev(f)(jnp.ones((*space, dim))) != 0)
    return seen.reshape(np.prod(space), -1, np.prod(space), dim)


@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)], ids=str)
@pytest.mark.parametrize("kind", ["A", "B"])
def test_no_cell_sees_one_after_it_in_raster_order(kind, space):
    seen = what_is_seen(nn.masked_conv(1, 1, (3,) * len(space), mask=kind), space, 1)[:, 0, :, 0]
    order = np.arange(np.prod(space))
    assert not seen[order[:, None] < order].any()
    assert (seen[order, order] == (kind == "B")).all()
    inside = order % space[-1] > 0  # not at the left edge
    assert seen[order[inside], order[inside] - 1].all()


def test_a_then_b_is_causal_in_cells_and_colors():
    layer = nn.serial(nn.masked_conv(3, 6, 3, mask="A", colors=3), nn.masked_conv(6, 3, 3, mask="B", colors=3))
    seen = what_is_seen(layer, (3, 3), 3).reshape(27, 27)  # place = 3 * cell + color
    place = np.arange(27)
    assert not seen[place[:, None] <= place].any()
    green = place[place % 3 > 0]
    assert seen[green, green - 1].all()  # the color before, in the same cell


@pytest.mark.parametrize("shape", [(3, 3), (3, 3, 2, 4)], ids=str)
def test_masked_weights_have_no_gradient(shape):
    mask = RANDOM.random(shape) < 0.5
    layer = nn.masked_conv(2, 4, 3, mask=mask)
    params = layer.init(jax.random.key(0))[0]
    x = jax.random.normal(jax.random.key(1), (2, 4, 5, 2))
    grads = jax.grad(lambda params: jnp.sum(layer.apply(params, {}, x)[0] ** 2))(params)
    full = mask if mask.ndim == 4 else np.broadcast_to(mask[..., None, None], (3, 3, 2, 4))
    np.testing.assert_array_equal(np.asarray(grads["kernel"]) != 0, full)


@pytest.mark.parametrize(
    ("window", "options", "words"),
    [
        (3, {"mask": "C"}, '"A", "B"'),
        ((3, 4), {"mask": "A"}, "odd"),
        (3, {"mask": np.ones((3, 2), bool)}, "mask must be boolean"),
        (3, {"mask": np.ones((3, 3))}, "mask must be boolean"),
        (3, {"mask": "A", "colors": 3}, "colors must divide"),
        (3, {"mask": "A", "colors": 2, "groups": 2}, "without groups"),
        (3, {"mask": np.ones((3, 3), bool), "colors": 2}, "colors are for"),
    ],
)
def test_impossible_masks_are_errors(window, options, words):
    with pytest.raises(ValueError, match=words):
        nn.masked_conv(2, 4, window, **options)
