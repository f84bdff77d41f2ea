"""Every contraction and every mode of differentiation against the plain definition, the definition against torch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.nn.convolution import canonical
from fdl.nn.convolution.primitive import convolve
from tests.nn.convolution import by_torch

# space, window, in_dim, out_dim, options
CASES = [
    ((7,), (3,), 2, 3, {}),
    ((8,), (4,), 2, 2, {"stride": 3, "padding": [(2, 0)]}),  # the last cell of x is never seen
    ((9,), (2,), 1, 3, {"stride": 2, "dilation": 3, "padding": "valid"}),
    ((5, 6), (3, 2), 2, 3, {}),
    ((6, 5), (3, 3), 3, 2, {"stride": 2}),
    ((7, 4), (1, 1), 2, 3, {}),
    ((7, 4), (1, 2), 2, 3, {"stride": (3, 2), "padding": "valid"}),
    ((6, 5), (3, 2), 4, 6, {"groups": 2, "stride": (2, 1), "dilation": (1, 2), "padding": 2}),
    ((5, 5), (3, 3), 3, 3, {"groups": 3}),
    ((6, 7), (2, 3), 2, 4, {"groups": 2, "stride": (2, 3), "dilation": 2, "padding": ((3, 0), (1, 2))}),
    ((2, 3), (3, 5), 2, 2, {"stride": 3, "padding": [(2, 0), (2, 0)]}),
    ((4, 3, 5), (2, 3, 2), 2, 2, {"stride": (1, 2, 2)}),
    ((5, 8), (2, 3), 9, 3, {"stride": (2, 1)}),  # four neighbours at once
    ((4, 6), (3, 5), 2, 40, {"padding": 2}),  # two, and rows apart
    ((12,), (5,), 1, 3, {"padding": [(1, 3)]}),  # four, folded
    ((7, 8), (5, 3), 8, 9, {"padding": "valid", "dilation": (1, 2)}),  # the gradient of the input with rows apart
    (
        (6, 7),
        (3, 2),
        4,
        2,
        {"dilation": (1, 2), "padding": [(3, 0), (1, 2)]},
    ),  # the kernel's gradient with x and y turned
]
NAMES = [f"{s}-{w}-{i}-{o}-{options}" for s, w, i, o, options in CASES]
every_case = pytest.mark.parametrize("case", CASES, ids=NAMES)


def arrays(case, dtype=jnp.float64, batch=2):
    space, window, in_dim, out_dim, options = case
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (batch, *space, in_dim), dtype)
    kernel = jax.random.normal(keys[1], (*window, in_dim // options.get("groups", 1), out_dim), dtype)
    return x, kernel


def both(case):
    return [partial(convolve, plain=plain, **case[-1]) for plain in (False, True)]


def close(a, b, rtol=1e-10):
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert jax.typeof(ours) == jax.typeof(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * float(np.abs(theirs).max(initial=1e-30)))


def loss(f):
    return lambda x, kernel: jnp.sum(jnp.sin(f(x, kernel)))


@every_case
def test_values_and_gradients(case):
    with jax.enable_x64(True):
        run = lambda f: jax.jit(lambda x, k: (f(x, k), jax.grad(loss(f), argnums=(0, 1))(x, k)))(*arrays(case))
        close(*map(run, both(case)))


def modes(f, x, kernel):
    """Forward, forward over reverse, reverse over reverse, reverse over forward, in both arguments at once."""
    point, grad = (x, kernel), jax.grad(loss(f), argnums=(0, 1))
    along = (jnp.cos(x), jnp.cos(kernel))
    slope = lambda *at: jax.jvp(loss(f), at, along)[1]
    return {
        "jvp": jax.jvp(f, point, along),
        "jvp of grad": jax.jvp(grad, point, along)[1],
        "grad of grad": jax.grad(lambda *at: sum(jnp.vdot(g, a) for g, a in zip(grad(*at), along)), (0, 1))(*point),
        "grad of jvp": jax.grad(slope, argnums=(0, 1))(*point),
        "third": jax.jvp(jax.grad(slope, argnums=(0, 1)), point, along)[1],
    }


@pytest.mark.parametrize("case", [CASES[1], CASES[9]], ids=str)
def test_higher_derivatives(case):
    with jax.enable_x64(True):
        close(*(jax.jit(partial(modes, f))(*arrays(case)) for f in both(case)))


def test_forward_jacobian():
    with jax.enable_x64(True):
        x, kernel = arrays(CASES[1], batch=1)
        close(*(jax.jit(jax.jacfwd(f, argnums=(0, 1)))(x, kernel) for f in both(CASES[1])))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (2, -1)], ids=str)
@pytest.mark.parametrize("case", [CASES[7], CASES[8]], ids=str)
def test_vmap_of_value_and_gradient(case, axes):
    with jax.enable_x64(True):
        x, kernel = (
            a if axis is None else jnp.stack([a, 2 * a, jnp.flip(a)], axis) for a, axis in zip(arrays(case), axes)
        )
        run = lambda f: jax.vmap(lambda x, k: (f(x, k), jax.grad(loss(f), (0, 1))(x, k)), axes)
        close(*(jax.jit(run(f))(x, kernel) for f in both(case)))


def test_per_example_gradients():
    with jax.enable_x64(True):
        x, kernel = arrays(CASES[4], batch=5)
        per_example = lambda f: jax.vmap(lambda one: jax.grad(loss(f), argnums=1)(one[None], kernel))(x)
        close(*map(per_example, both(CASES[4])))


@pytest.mark.parametrize("channels", [(4, 8, 1), (4, 8, 4)], ids=["full", "depthwise"])
def test_large_batch_is_summed_in_parts(channels, monkeypatch):
    monkeypatch.setattr(canonical, "CACHE", 0)
    in_dim, out_dim, groups = channels
    with jax.enable_x64(True):
        case = ((5, 4), (3, 3), in_dim, out_dim, {"groups": groups})
        close(*(jax.grad(loss(f), argnums=1)(*arrays(case, batch=32)) for f in both(case)))


@pytest.mark.parametrize("kept", [True, False], ids=["sums that are kept", "sums that are not"])
@pytest.mark.parametrize("channels", [2, 16], ids=["cell by cell", "cells together"])
@pytest.mark.parametrize(("batch", "stride"), [(8, 1), (9, 1), (5, 2), (7, 1)], ids=str)
@pytest.mark.parametrize("space", [(16,), (10, 3), (13, 4), (8, 3, 2)], ids=str)
def test_depthwise_sums_of_some_rows_of_some_examples(space, batch, stride, channels, kept, monkeypatch):
    if not kept:
        monkeypatch.setattr(canonical, "SUMS", 0)
    with jax.enable_x64(True):
        case = (space, (3, 4, 2)[: len(space)], channels, channels, {"groups": channels, "stride": stride})
        close(*(jax.jit(jax.grad(loss(f), argnums=1))(*arrays(case, batch=batch)) for f in both(case)))


def test_a_depthwise_kernel_has_a_gradient_of_no_examples():
    with jax.enable_x64(True):
        x, kernel = arrays(((8, 8), (3, 3), 4, 4, {"groups": 4}), batch=0)
        f = partial(convolve, groups=4)
        close(jax.grad(loss(f), argnums=1)(x, kernel), jnp.zeros_like(kernel))


def test_inside_loops_and_remat():
    with jax.enable_x64(True):
        x, kernel = arrays(((5, 5), (3, 3), 3, 3, {}))

        def deep(f, kernel):
            layer = jax.checkpoint(lambda h: jnp.tanh(f(h, kernel)))
            return jnp.sum(jax.lax.scan(lambda h, _: (layer(h), None), x, length=3)[0])

        close(*(jax.grad(partial(deep, f))(kernel) for f in both(CASES[3])))


def test_derivatives_are_canonical_convolutions():
    """The program of a second-order step holds only (batch, space, dim) by (window, dim, dim), undilated inputs."""
    x, kernel = arrays(CASES[4], jnp.float32)
    step = lambda x, k: jax.jvp(jax.grad(loss(both(CASES[4])[0]), (0, 1)), (x, k), (x, k))
    program = jax.jit(step).lower(x, kernel).as_text()
    layouts = [
        line.split("dim_numbers = ")[1].split(",  window")[0] for line in program.splitlines() if "convol" in line
    ]
    assert len(layouts) > 5  # equal ones share a function
    assert all("[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in layout for layout in layouts)
    assert "lhs_dilate = [2" not in program


def test_gradient_of_the_first_layer_leaves_the_input_out():
    x, kernel = arrays(CASES[4], jnp.float32)
    program = jax.make_jaxpr(jax.grad(lambda k: loss(convolve)(x, k)))(kernel)
    assert [e.params["leave"] for e in program.eqns if "leave" in e.params] == ["y", "kernel"]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_short_floats_are_summed_in_float32(dtype):
    x, kernel = jnp.ones((1, 1, 1, 4096), dtype), jnp.ones((1, 1, 4096, 2), dtype)
    y, pull = jax.vjp(convolve, x.at[..., 0].set(1), kernel)
    assert [a.dtype for a in (y, *pull(y))] == [dtype] * 3
    np.testing.assert_array_equal(y.astype(jnp.float32), 4096.0)


@every_case
def test_torch_agrees(case, agrees):
    pytest.importorskip("torch")
    options = dict(case[-1])
    padding = options.pop("padding", "valid")
    if isinstance(padding, (int, str)):
        padding = [(0 if padding == "valid" else padding,) * 2] * len(case[0])
    ours = partial(convolve, padding=padding, **options)
    agrees.torch("nn.convolve", ours, by_torch.conv(padding=padding, **options), *arrays(case, jnp.float32))


@pytest.mark.parametrize(
    ("size", "window", "stride", "pads"), [(5, 3, 2, (1, 1)), (6, 3, 2, (0, 1)), (4, 4, 1, (1, 2))]
)
def test_same_puts_the_odd_cell_at_the_end(size, window, stride, pads):
    x, kernel = jnp.arange(float(size)).reshape(1, size, 1), jnp.ones((window, 1, 1))
    np.testing.assert_array_equal(
        convolve(x, kernel, stride=stride), convolve(x, kernel, stride=stride, padding=[pads])
    )


@pytest.mark.parametrize(
    ("x", "kernel", "options", "words"),
    [
        ((2, 5, 5), (3, 3, 1, 2), {}, "x\\[None\\]"),
        ((2, 3, 5, 5), (3, 3, 3, 2), {}, "channels come last"),
        ((2, 5, 5, 4), (3, 3, 2, 3), {"groups": 2}, "groups must divide"),
        ((2, 2, 2, 1), (3, 3, 1, 2), {"padding": "valid"}, "must fit"),
        ((2, 5, 5, 1), (3, 3, 1, 2), {"stride": 0}, "stride must be"),
        ((2, 5, 5, 1), (3, 3, 1, 2), {"padding": "full"}, "padding must be"),
        ((2, 5, 5, 1), (3, 3, 1, 2), {"padding": (1, -1)}, "crop"),
    ],
)
def test_wrong_shapes_say_what_to_do(x, kernel, options, words):
    with pytest.raises(ShapeError, match=words):
        convolve(jnp.zeros(x), jnp.zeros(kernel), **options)


def test_wrong_types_say_what_to_do():
    with pytest.raises(DtypeError, match="cast"):
        convolve(jnp.zeros((1, 5, 1), jnp.bfloat16), jnp.zeros((3, 1, 1)))
    with pytest.raises(DtypeError, match="floating"):
        convolve(jnp.zeros((1, 5, 1), jnp.uint8), jnp.zeros((3, 1, 1)))
