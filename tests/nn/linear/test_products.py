"""einsum, bilinear, mlp, gated_mlp, patch_embedding, squeeze_excite, layer_scale against torch, and their edges."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
FIRST = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def drawn_anew():
    """Each test draws the same numbers, whichever of the others its process has run before."""
    RNG.bit_generator.state = FIRST


def draw(*shape):
    return RNG.normal(size=shape)


EQUATIONS = {
    "...d,dhk->...hk": ((2, 3, 5), (5, 3, 2), "hk"),
    "bthk,hkd->btd": ((2, 3, 3, 2), (3, 2, 5), "d"),
    "bhtd,hde->bhte": ((2, 3, 4, 5), (3, 5, 2), "h"),
    "h...d,dk->hk...": ((2, 3, 4, 5), (5, 3), "k"),
    "...d,d->...": ((2, 3), (3,), ""),
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_equals_torch(agrees, equation):
    torch = pytest.importorskip("torch")
    x_shape, kernel_shape, bias = EQUATIONS[equation]
    layer = nn.einsum(equation, kernel_shape, bias=bias)
    letters = equation.split("->")[1]
    sizes = dict(zip(equation.split(",")[1], kernel_shape))
    offset = draw(*(sizes[a] for a in bias))

    def theirs(x, kernel, offset):
        y = torch.einsum(equation, x, kernel)
        return y + torch.einsum(f"{bias},{letters}->{letters}", offset, torch.ones_like(y)) if bias else y + 0 * offset

    def ours(x, kernel, offset):
        params = {"kernel": kernel, "bias": offset} if bias else {"kernel": kernel}
        return layer.apply(params, {}, x)[0]

    agrees.torch("nn.einsum", ours, theirs, draw(*x_shape), draw(*kernel_shape), offset)


@pytest.mark.parametrize(
    ("equation", "shape", "fan"),
    [
        ("...d,dhk->...hk", (64, 8, 16), 64),
        ("...hk,hkd->...d", (8, 16, 64), 128),
        ("...ed,efd->...ef", (9, 32, 25), 25),
    ],
)
def test_einsum_draws_with_the_inputs_of_one_unit_as_fan(equation, shape, fan):
    kernel = nn.einsum(equation, shape, kernel_init=nn.lecun_normal()).init(KEY)[0]["kernel"]
    assert kernel.shape == shape
    np.testing.assert_allclose(jnp.std(kernel), fan**-0.5, rtol=0.05)


def test_einsum_with_orthogonal_kernels_keeps_lengths_in_each_of_many():
    layer = nn.einsum("...ed,edf->...ef", (3, 4, 4), kernel_init=nn.orthogonal())
    params, state = layer.init(KEY)
    x = jax.random.normal(KEY, (5, 3, 4))
    y, _ = layer.apply(params, state, x)
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5)
    assert not np.allclose(params["kernel"][0], params["kernel"][1])


@pytest.mark.parametrize(
    ("equation", "shape", "bias", "message"),
    [
        ("...d->...d", (3,), "", "equation must read"),
        ("...d,dh", (3, 2), "", "equation must read"),
        ("...d,...dh->...h", (3, 2), "", "equation must read"),
        ("...d,dh,h->...h", (3, 2), "", "different letters"),
        ("dd,dh->dh", (3, 2), "", "different letters"),
        ("...d,d1->...1", (3, 2), "", "different letters"),
        ("...d,dh->...k", (3, 2), "", "must stand in two of"),
        ("...d,dh->h", (3, 2), "", r"the axis \.\.\. of .* must stand in two of"),
        ("...d,dh->...h", (3,), "", "has 2 axes, got the shape"),
        ("...d,dh->...h", (3, 2), "d", "bias must name axes"),
        ("...d,dhk->...hk", (3, 2, 2), "kh", "bias must name axes"),
    ],
)
def test_an_equation_that_is_no_dense_layer_is_refused(equation, shape, bias, message):
    with pytest.raises(ValueError, match=message):
        nn.einsum(equation, shape, bias=bias)


def test_einsum_checks_the_axes_it_knows():
    layer = nn.einsum("bthk,hkd->btd", (2, 3, 5))
    with pytest.raises(ShapeError, match=r"must have shape \(\*, \*, 2, 3\), got \(4, 5, 3, 2\)"):
        layer.apply(*layer.init(KEY), jnp.ones((4, 5, 3, 2)))


def test_bilinear_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    agrees.torch(
        "nn.bilinear",
        lambda a, b, kernel, bias: nn.bilinear(3, 5, 2).apply({"kernel": kernel, "bias": bias}, {}, a, b)[0],
        lambda a, b, kernel, bias: torch.nn.functional.bilinear(a, b, kernel.permute(2, 0, 1), bias),
        draw(4, 2, 3),
        draw(4, 2, 5),
        draw(3, 5, 2),
        draw(2),
    )


def test_bilinear_refuses_inputs_that_do_not_fit():
    layer = nn.bilinear(3, 5, 2)
    params, state = layer.init(KEY)
    assert layer.apply(params, state, jnp.ones((4, 3)), jnp.ones((4, 5)))[0].shape == (4, 2)
    with pytest.raises(ShapeError, match=r"right must have shape \(4, 5\), got \(1, 5\)"):
        layer.apply(params, state, jnp.ones((4, 3)), jnp.ones((1, 5)))
    with pytest.raises(ShapeError, match="left must have shape"):
        layer.apply(params, state, jnp.ones((4, 5)), jnp.ones((4, 3)))


def test_mlp_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.mlp(3, 5, 2, activation=nn.tanh)
    theirs = lambda x, a, b, c, d: torch.tanh(x @ a + b) @ c + d

    def ours(x, a, b, c, d):
        params = {"dense_0": {"kernel": a, "bias": b}, "dense_1": {"kernel": c, "bias": d}}
        return layer.apply(params, {}, x)[0]

    agrees.torch("nn.mlp", ours, theirs, draw(4, 3), draw(3, 5), draw(5), draw(5, 2), draw(2))
    with pytest.raises(ValueError, match="needs the size of its input and of its output"):
        nn.mlp(3)


@pytest.mark.parametrize(("gate", "options"), [("silu", {}), ("gelu", {"approximate": "tanh"})])
def test_gated_mlp_equals_torch(agrees, gate, options):
    torch = pytest.importorskip("torch")
    layer = nn.gated_mlp(3, 5, gate=getattr(nn, gate))
    curve = partial(getattr(torch.nn.functional, gate), **options)

    def ours(x, gate, up, down):
        return layer.apply({"gate": {"kernel": gate}, "up": {"kernel": up}, "down": {"kernel": down}}, {}, x)[0]

    theirs = lambda x, gate, up, down: (curve(x @ gate) * (x @ up)) @ down
    agrees.torch(f"nn.gated_mlp, {gate}", ours, theirs, draw(4, 3), draw(3, 5), draw(3, 5), draw(5, 3))


def test_patch_embedding_equals_a_strided_convolution_of_torch(agrees):
    torch = pytest.importorskip("torch")
    agrees.torch(
        "nn.patch_embedding",
        lambda x, kernel, bias: nn.patch_embedding(3, 5, (2, 3)).apply({"kernel": kernel, "bias": bias}, {}, x)[0],
        lambda x, kernel, bias: (
            torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias, stride=(2, 3))
            .flatten(2)
            .transpose(1, 2)
        ),
        draw(2, 4, 9, 3),
        draw(2, 3, 3, 5),
        draw(5),
    )


def test_patches_must_fill_the_image():
    layer = nn.patch_embedding(3, 5, 2)
    params, state = layer.init(KEY)
    assert layer.apply(params, state, jnp.ones((0, 4, 6, 3)))[0].shape == (0, 6, 5)
    with pytest.raises(ShapeError, match=r"patches of \(2, 2\) must fill the space, got input \(1, 4, 5, 3\)"):
        layer.apply(params, state, jnp.ones((1, 4, 5, 3)))


def test_squeeze_excite_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.squeeze_excite(7, reduction=3)

    def ours(x, a, b, c, d):
        params = {"squeeze": {"kernel": a, "bias": b}, "excite": {"kernel": c, "bias": d}}
        return layer.apply(params, {}, x)[0]

    def theirs(x, a, b, c, d):
        return x * torch.sigmoid(torch.relu(x.mean((1, 2)) @ a + b) @ c + d)[:, None, None]

    agrees.torch("nn.squeeze_excite", ours, theirs, draw(2, 3, 4, 7), draw(7, 2), draw(2), draw(2, 7), draw(7))
    for reduction in (0, 8):
        with pytest.raises(ValueError, match="reduction must be from 1 to dim"):
            nn.squeeze_excite(7, reduction=reduction)


def test_layer_scale_starts_small_and_equals_torch(agrees):
    params, _ = nn.layer_scale(5).init(KEY)
    np.testing.assert_allclose(params["scale"], np.full(5, 1e-5))
    ours = lambda x, scale: nn.layer_scale(5).apply({"scale": scale}, {}, x)[0]
    agrees.torch("nn.layer_scale", ours, lambda x, scale: x * scale, draw(2, 3, 5), draw(5))
