"""Indices of the largest cells and the way back, against torch."""

import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import DtypeError, ShapeError
from tests.nn.convolution.by_torch import channels_last

RANDOM = np.random.default_rng(0)

CASES = [  # space, window, stride, padding
    ((9,), 3, 2, 1),
    ((6, 4), 2, None, 0),
    ((7, 5), 3, 2, 1),
    ((8, 7), (2, 3), (5, 3), 0),
    ((9, 8), (7, 5), (1, 2), 2),
    ((4, 5, 6), 2, (2, 1, 2), 0),
]


@pytest.mark.parametrize(("space", "window", "stride", "padding"), CASES, ids=str)
def test_indices_are_those_of_torch(space, window, stride, padding, agrees):
    torch = pytest.importorskip("torch")
    x = np.round(RANDOM.normal(size=(2, *space, 3)))  # many ties
    pool = lambda x: nn.max_pool_with_indices(x, window, stride=stride, padding=padding)
    theirs = getattr(torch.nn.functional, f"max_pool{len(space)}d")
    run = lambda x: theirs(x, window, stride, padding, return_indices=True)
    agrees.torch(
        "nn.max_pool_with_indices", lambda x: pool(x)[0], channels_last(lambda x: run(x)[0]), x, dtypes=("float32",)
    )
    indices = np.moveaxis(run(torch.tensor(np.moveaxis(x, -1, 1)))[1].numpy(), 1, -1)
    ours = pool(jnp.asarray(x, jnp.float32))[1]
    assert ours.dtype == jnp.int32
    agrees.values("nn.max_pool_with_indices, indices", "torch", ours, indices)


@pytest.mark.parametrize(("space", "window"), [((7,), 2), ((7, 6), (2, 3)), ((2, 4, 3), (1, 2, 3))], ids=str)
def test_unpooling_is_that_of_torch(space, window, agrees):
    torch = pytest.importorskip("torch")
    y, indices = nn.max_pool_with_indices(jnp.asarray(RANDOM.normal(size=(2, *space, 3)), jnp.float32), window)
    unpool = getattr(torch.nn.functional, f"max_unpool{len(space)}d")
    theirs = lambda y, i: unpool(y, i.movedim(-1, 1).long(), window, output_size=space)
    ours = lambda y, i: nn.max_unpool(y, i, space)
    agrees.torch("nn.max_unpool", ours, channels_last(theirs), np.asarray(y), np.asarray(indices))


def test_pooled_again_it_is_what_it_was_where_windows_overlap():
    x = jnp.asarray(RANDOM.random((2, 7, 9, 2)) + 1, jnp.float32)
    y, indices = nn.max_pool_with_indices(x, 3, stride=2)
    back = nn.max_unpool(y, indices, (7, 9))
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    np.testing.assert_array_equal(nn.max_pool(3, stride=2).apply({}, {}, back)[0], y)


def test_an_index_never_points_into_the_padding():
    _, indices = nn.max_pool_with_indices(jnp.full((1, 3, 4, 1), -jnp.inf), 3, stride=2, padding=1)
    np.testing.assert_array_equal(indices[0, :, :, 0], [[0, 1], [4, 5]])


def test_wrong_indices_are_errors():
    y = jnp.ones((1, 2, 2, 1))
    with pytest.raises(DtypeError, match="indices must be integers"):
        nn.max_unpool(y, y, (4, 4))
    with pytest.raises(ShapeError, match="one index per value"):
        nn.max_unpool(y, jnp.zeros((1, 2, 1, 1), int), (4, 4))
