"""Locally connected layers against unfolded windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

RANDOM = np.random.default_rng(0)


def test_torch_agrees_on_unfolded_windows(agrees):
    torch = pytest.importorskip("torch")
    how = {"stride": (2, 1), "dilation": (1, 2), "padding": (1, 0)}
    layer = nn.local_conv(3, 4, (3, 2), (5, 6), **how)

    def theirs(x, kernel, bias):
        seen = torch.nn.functional.unfold(x.movedim(-1, 1), (3, 2), **how)  # (batch, in * window, positions)
        own = kernel.reshape(-1, 3, 2, 3, 4).movedim(3, 1).reshape(-1, 18, 4)
        return torch.einsum("nkp,pko->npo", seen, own).reshape(-1, *bias.shape) + bias

    shapes = jax.eval_shape(layer.init, jax.random.key(0))[0]
    assert {name: leaf.shape for name, leaf in shapes.items()} == {"kernel": (3, 4, 3, 2, 3, 4), "bias": (3, 4, 4)}
    params = [RANDOM.normal(size=shapes[name].shape) for name in ("kernel", "bias")]
    ours = lambda x, kernel, bias: layer.apply({"kernel": kernel, "bias": bias}, {}, x)[0]
    agrees.torch("nn.local_conv", ours, theirs, RANDOM.normal(size=(2, 5, 6, 3)), *params)


@pytest.mark.parametrize("space", [(7,), (3, 4, 2)], ids=str)
def test_with_the_same_kernel_everywhere_it_is_a_convolution(space):
    local = nn.local_conv(2, 3, 3, space, stride=2)
    conv = nn.conv(2, 3, (3,) * len(space), stride=2)
    params = conv.init(jax.random.key(0))[0]
    shapes = jax.eval_shape(local.init, jax.random.key(0))[0]
    spread = jax.tree.map(
        lambda a, to: jnp.broadcast_to(jnp.expand_dims(a, range(to.ndim - a.ndim)), to.shape), params, shapes
    )
    x = jax.random.normal(jax.random.key(1), (2, *space, 2))
    np.testing.assert_allclose(local.apply(spread, {}, x)[0], conv.apply(params, {}, x)[0], rtol=1e-5, atol=1e-6)


def test_each_position_draws_a_kernel_of_its_own_as_large_as_that_of_conv():
    kernel = nn.local_conv(5, 20, 3, (4, 4)).init(jax.random.key(0))[0]["kernel"]
    assert len(np.unique(np.asarray(kernel).reshape(16, -1)[:, 0])) == 16
    np.testing.assert_allclose(kernel.std(), (3 * 3 * 5) ** -0.5, rtol=0.05)


def test_a_window_that_does_not_fit_and_another_space_are_errors():
    with pytest.raises(ShapeError, match="must fit"):
        nn.local_conv(1, 1, 4, (3, 5), padding="valid")
    layer = nn.local_conv(1, 1, 2, (3, 5))
    with pytest.raises(ShapeError, match=r"\(\*, 3, 5, 1\)"):
        layer.apply(layer.init(jax.random.key(0))[0], {}, jnp.ones((1, 4, 5, 1)))
