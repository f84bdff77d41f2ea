"""Adaptive pools against torch: sizes that divide space, that do not, and that exceed it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError
from tests.nn.convolution.by_torch import channels_last

RANDOM = np.random.default_rng(0)

CASES = [  # space, size
    ((7,), 3),
    ((3,), 5),
    ((6, 4), (3, 2)),
    ((7, 5), 3),
    ((13, 6), (6, 1)),
    ((1, 5), (2, 4)),
    ((5, 4, 3), (2, 4, 2)),
]


@pytest.mark.parametrize(("space", "size"), CASES, ids=str)
@pytest.mark.parametrize("kind", ["max", "average"])
def test_torch_agrees(kind, space, size, agrees):
    torch = pytest.importorskip("torch")
    layer = {"max": nn.adaptive_max_pool, "average": nn.adaptive_average_pool}[kind](size)
    name = f"adaptive_{kind[:3].replace('ave', 'avg')}_pool{len(space)}d"
    theirs = channels_last(lambda x: getattr(torch.nn.functional, name)(x, size))
    x = np.round(RANDOM.normal(size=(2, *space, 3)))  # many ties
    fits = "" if all(n % s == 0 for n, s in zip(space, np.broadcast_to(size, len(space)))) else ", overlapping bins"
    agrees.torch(f"nn.adaptive_{kind}_pool{fits}", lambda x: layer.apply({}, {}, x)[0], theirs, x)


@pytest.mark.parametrize("make", [nn.adaptive_max_pool, nn.adaptive_average_pool])
def test_a_size_that_divides_space_is_a_plain_pool(make):
    x = jax.random.normal(jax.random.key(0), (2, 64, 6, 3))
    plain = {nn.adaptive_max_pool: nn.max_pool, nn.adaptive_average_pool: nn.average_pool}[make]((32, 2))
    run = lambda layer: lambda x: layer.apply({}, {}, x)[0]
    np.testing.assert_allclose(run(make((2, 3)))(x), run(plain)(x), rtol=1e-5, atol=1e-6)
    program = str(jax.make_jaxpr(run(make((2, 3))))(x))
    assert "gather" not in program
    assert "dot_general" not in program


@pytest.mark.parametrize("make", [nn.adaptive_max_pool, nn.adaptive_average_pool])
@pytest.mark.parametrize("size", [0, (2, 0), (-1, 2), ()], ids=str)
def test_an_empty_output_is_an_error(make, size):
    with pytest.raises(ValueError, match="size must be a positive number"):
        make(size)


@pytest.mark.parametrize("make", [nn.adaptive_max_pool, nn.adaptive_average_pool])
def test_sizes_must_be_one_per_axis(make):
    with pytest.raises(ShapeError, match="one per axis of space"):
        make((2, 2)).apply({}, {}, jnp.ones((1, 4, 1)))
