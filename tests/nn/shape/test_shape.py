"""Layers of shape against torch, with channels last here and first there; and their edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(2, 3, 4, 5))
MODES = {"zero": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def ours(layer):
    return lambda x: layer.apply({}, {}, x)[0]


def theirs(f):
    """f on channels first."""
    return lambda x: f(x.movedim(-1, 1)).movedim(1, -1)


def test_reshape_and_flatten_are_those_of_torch(agrees):
    agrees.torch("nn.reshape", ours(nn.reshape(5, 2, 6)), lambda x: x.reshape(2, 5, 2, 6), IMAGE)
    agrees.torch("nn.flatten", nn.flatten, lambda x: x.flatten(1), IMAGE)
    assert nn.flatten(jnp.ones((0, 3, 4))).shape == (0, 12)
    assert ours(nn.reshape(4, 3))(jnp.ones((0, 12))).shape == (0, 4, 3)


def test_reshape_refuses_other_sizes():
    with pytest.raises(ShapeError, match=r"must have 12 values to become \(3, 4\), got input \(2, 13\)"):
        ours(nn.reshape(3, 4))(jnp.ones((2, 13)))
    with pytest.raises(ValueError, match="every size"):
        nn.reshape(3, -1)


@pytest.mark.parametrize("mode", MODES)
def test_pad_equals_torch_and_crop_takes_it_away(agrees, mode):
    torch = pytest.importorskip("torch")
    pad = nn.pad(((1, 2), (3, 0)), mode)
    f = theirs(lambda x: torch.nn.functional.pad(x, (3, 0, 1, 2), MODES[mode]))
    agrees.torch(f"nn.pad, {mode}", ours(pad), f, IMAGE)
    back = ours(nn.crop(((1, 2), (3, 0))))(ours(pad)(jnp.asarray(IMAGE)))
    agrees.values("nn.crop", "the image before it was padded", back, IMAGE.astype(np.float32))


def test_padding_stops_where_torch_does():
    image = jnp.ones((1, 2, 3, 1))
    assert ours(nn.pad(2, "circular"))(image).shape == (1, 6, 7, 1)
    assert ours(nn.pad(5, "replicate"))(image).shape == (1, 12, 13, 1)
    with pytest.raises(ShapeError, match="the widths of mode 'reflect' must be smaller than the space, got 2 around"):
        ours(nn.pad(2, "reflect"))(image)
    with pytest.raises(ShapeError, match="the widths of mode 'circular' must be no larger than the space"):
        ours(nn.pad((0, 4), "circular"))(image)
    with pytest.raises(ShapeError, match="cropping 1 leaves nothing"):
        ours(nn.crop(1))(image)
    with pytest.raises(ShapeError, match="none negative"):
        ours(nn.pad(-1))(image)
    with pytest.raises(ValueError, match="mode must be one of 'zero', 'reflect'"):
        nn.pad(1, "mirror")  # pyright: ignore


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("factor", [1, 2, (3, 4)], ids=str)
def test_bilinear_upsampling_equals_torch(agrees, factor, align_corners):
    torch = pytest.importorskip("torch")
    options = {"scale_factor": factor, "mode": "bilinear", "align_corners": align_corners}
    f = theirs(lambda x: torch.nn.functional.interpolate(x, **options))
    subject = "nn.upsample, bilinear" + ", corners aligned" * align_corners
    agrees.torch(subject, ours(nn.upsample(factor, "bilinear", align_corners=align_corners)), f, IMAGE)


def test_upsampling_of_signals_and_volumes_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    for x, mode in ((IMAGE[0], "linear"), (IMAGE[:, :, :, None], "trilinear")):
        f = theirs(lambda x, mode=mode: torch.nn.functional.interpolate(x, scale_factor=2, mode=mode))
        agrees.torch(f"nn.upsample, {mode}", ours(nn.upsample(2, "bilinear")), f, x)
    f = theirs(lambda x: torch.nn.functional.interpolate(x, scale_factor=(2, 3)))
    agrees.torch("nn.upsample, nearest", ours(nn.upsample((2, 3))), f, IMAGE)


def test_upsampling_of_a_single_pixel_repeats_it():
    for options in ({}, {"align_corners": True}):
        y = ours(nn.upsample(3, "bilinear", **options))(jnp.full((1, 1, 1, 2), 1.5))
        np.testing.assert_array_equal(y, np.full((1, 3, 3, 2), 1.5))


def test_upsampling_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="method must be"):
        nn.upsample(2, "cubic")  # pyright: ignore
    with pytest.raises(ValueError, match="align_corners speaks of interpolation"):
        nn.upsample(2, align_corners=True)
    with pytest.raises(ShapeError, match="factor must be a positive number"):
        ours(nn.upsample((2, 2)))(jnp.ones((1, 4, 2)))


def test_shuffles_equal_torch(agrees):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    deep, wide = RNG.normal(size=(2, 3, 2, 18)), RNG.normal(size=(2, 6, 4, 3))
    agrees.torch("nn.pixel_shuffle", ours(nn.pixel_shuffle(3)), theirs(lambda x: f.pixel_shuffle(x, 3)), deep)
    agrees.torch("nn.pixel_unshuffle", ours(nn.pixel_unshuffle(2)), theirs(lambda x: f.pixel_unshuffle(x, 2)), wide)
    # torch's own channel_shuffle has no gradient on a CPU.
    dealt = theirs(lambda x: x.unflatten(1, (3, 6)).transpose(1, 2).flatten(1, 2))
    agrees.torch("nn.channel_shuffle", ours(nn.channel_shuffle(3)), dealt, deep)
    order = torch.nn.ChannelShuffle(3)(torch.arange(18.0)[None, :, None]).flatten().numpy()
    np.testing.assert_array_equal(ours(nn.channel_shuffle(3))(jnp.arange(18.0)[None])[0], order)


@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 4, 6, 3), (1, 2, 4, 6, 3)], ids=str)
def test_pixel_shuffle_undoes_unshuffle_in_any_number_of_dimensions(shape):
    x = jax.random.normal(jax.random.key(0), shape)
    there = ours(nn.pixel_unshuffle(2))(x)
    assert there.shape == (shape[0], *(n // 2 for n in shape[1:-1]), 3 * 2 ** (len(shape) - 2))
    np.testing.assert_array_equal(ours(nn.pixel_shuffle(2))(there), x)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.channel_shuffle(3), "channels must be a multiple of 3, got input"),
        (nn.pixel_shuffle(2), "channels must be a multiple of 4, got input"),
        (nn.pixel_unshuffle(2), "factor must divide the space, got factor 2"),
    ],
    ids=repr,
)
def test_what_does_not_divide_is_an_error(layer, message):
    with pytest.raises(ShapeError, match=message):
        ours(layer)(jnp.ones((1, 3, 4, 5)))
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        layer.replace(**{name: 0 for name, _ in layer.call.arguments})


WINDOWS = {
    "plain": ((2, 3), {}),
    "strided": (2, {"stride": (1, 2)}),
    "dilated and padded": ((2, 3), {"dilation": (2, 1), "padding": (1, 2), "stride": 2}),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_unfold_and_fold_equal_torch_in_our_layout(agrees, name):
    torch = pytest.importorskip("torch")
    window, options = WINDOWS[name]
    f = torch.nn.functional
    there = ours(nn.unfold(window, **options))(jnp.asarray(IMAGE, jnp.float32)).shape
    cells = there[-1] // 5

    def unfold(x):
        return f.unfold(x.movedim(-1, 1), window, **options).unflatten(1, (5, cells)).permute(0, 3, 2, 1).reshape(there)

    def fold(patches):
        columns = patches.reshape(2, -1, cells, 5).permute(0, 3, 2, 1).flatten(1, 2)
        return f.fold(columns, (3, 4), window, **options).movedim(1, -1)

    agrees.torch(f"nn.unfold, {name}", ours(nn.unfold(window, **options)), unfold, IMAGE)
    agrees.torch(f"nn.fold, {name}", ours(nn.fold((3, 4), window, **options)), fold, RNG.normal(size=there))


def test_windows_times_a_kernel_are_a_convolution():
    layer = nn.conv(5, 2, (2, 3), stride=2, use_bias=False)
    params, state = layer.init(jax.random.key(0))
    x = jnp.asarray(IMAGE, jnp.float32)
    seen = ours(nn.unfold((2, 3), stride=2, padding="same"))(x)
    want, _ = layer.apply(params, state, x)
    np.testing.assert_allclose(seen @ params["kernel"].reshape(30, 2), want, rtol=1e-5, atol=1e-6)


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="the window must fit into the padded space"):
        ours(nn.unfold(4))(jnp.ones((1, 3, 4, 2)))
    with pytest.raises(ShapeError, match="the window must fit into the padded space"):
        nn.fold((3, 4), 4)
    with pytest.raises(ShapeError, match=r"windows must have shape \(\*, 2, 3, \*\), got \(1, 3, 3, 8\)"):
        ours(nn.fold((3, 4), 2))(jnp.ones((1, 3, 3, 8)))
    with pytest.raises(ShapeError, match="windows of 4 cells must hold as many times dim values"):
        ours(nn.fold((3, 4), 2))(jnp.ones((1, 2, 3, 9)))
