"""Programs with calls of oneDNN: equal to XLA's own, wherever the product or convolution stands in them."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fdl import nn
from fdl.compile import compile, on_cpu
from fdl.cpu import release
from fdl.cpu.calls import usable
from fdl.cpu.exchange import exchange

pytestmark = pytest.mark.skipif(not on_cpu(), reason="promises for CPUs")

DRAWN = np.random.default_rng(0)
X = DRAWN.normal(size=(4, 12, 12, 16)).astype("f")
KERNEL = 0.1 * DRAWN.normal(size=(3, 3, 16, 16)).astype("f")
A, B = DRAWN.normal(size=(2, 2, 4, 64, 64)).astype("f")


def convolved(x, kernel):
    return nn.convolve(x, kernel)


def looped(x, kernel):
    return lax.scan(lambda x, _: (jnp.tanh(convolved(x, kernel)), None), x, None, length=3)[0]


def chosen(x, kernel):
    return lax.cond(x[0, 0, 0, 0] > 0, convolved, lambda x, kernel: x, x, kernel)


def counted(x, kernel):
    return lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, convolved(c[1], kernel)), (0, x))[1]


def kernel_gradient(x, kernel, **how):
    return jax.grad(lambda kernel: (nn.convolve(x, kernel, **how) ** 2).sum())(kernel)


@jax.custom_vjp
def ruled(x, kernel):
    return convolved(x, kernel)


ruled.defvjp(lambda x, kernel: (ruled(x, kernel), None), lambda _, g: (g, g))

PLACES = {
    "alone": convolved,
    "scan": looped,
    "cond": chosen,
    "while": counted,
    "remat": jax.checkpoint(looped),
    "jit": jax.jit(convolved),
    "vmap of kernels": lambda x, k: jax.vmap(convolved, (None, 0))(x, jnp.stack([k, 2 * k])),
    "gradients": lambda x, k: jax.grad(lambda xk: (looped(*xk) ** 2).sum())((x, k)),
    "second order": lambda x, k: jax.jvp(jax.grad(lambda k: (looped(x, k) ** 2).sum()), (k,), (k,)),
    "groups": lambda x, k: nn.convolve(x, k[:, :, :4], groups=4, stride=2, padding=[(0, 1), (2, 0)]),
    "a depth each": lambda x, k: nn.convolve(x, k[:, :, :1], groups=16, dilation=2),
    "strides of one channel a group": lambda x, k: jax.grad(
        lambda x: (
            nn.convolve(x, k[:, :, :1], groups=16, stride=(2, 3), dilation=(1, 2), padding=[(0, 3), (4, 0)]) ** 2
        ).sum()
    )(x),
    "kernel of many examples": lambda x, k: kernel_gradient(jnp.tile(x, (33, 1, 1, 1)), k, padding=[(0, 5), (3, 0)]),
    "kernel of strides": lambda x, k: kernel_gradient(jnp.tile(x, (4, 1, 1, 1)), k, stride=(2, 3), padding="valid"),
    "kernel of cells apart": lambda x, k: kernel_gradient(x, k, dilation=(2, 1)),
    "kernel of one axis": lambda x, k: kernel_gradient(jnp.tile(x, (3, 1, 1, 1)).reshape(12, 144, 16), k[0], stride=2),
    "kernel of three axes": lambda x, k: kernel_gradient(x.reshape(4, 3, 4, 12, 16), k[None], padding=1),
    "kernel of groups": lambda x, k: kernel_gradient(jnp.tile(x, (3, 1, 1, 1)), k[:, :, :4], groups=4),
    "kernel of groups in several calls": lambda x, k: kernel_gradient(
        jnp.tile(x, 3), jnp.tile(k, 3)[:, :, :12], groups=4, stride=(1, 2)
    ),
    "kernel of groups with one output each": lambda x, k: kernel_gradient(x, k[:, :, :2, :8], groups=8),
    "custom rule": lambda x, k: ruled(x, k),
    "transposed": lambda x, k: nn.convolve_transpose(x, k, stride=2),
    "one axis": lambda x, k: nn.convolve(x.reshape(4, 144, 16), k[0], stride=3),
    "three axes": lambda x, k: nn.convolve(x.reshape(4, 3, 4, 12, 16), k[None], dilation=(1, 1, 2)),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_convolution_is_the_same_in_every_place(place):
    ours, plain = compile(PLACES[place])(X, KERNEL), jax.jit(PLACES[place])(X, KERNEL)
    for found, wanted in zip(jax.tree.leaves(ours), jax.tree.leaves(plain)):
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


PRODUCTS = {
    "plain": lambda a, b: a @ b,
    "first turned": lambda a, b: jnp.einsum("nmki,nmkj->nmij", a, b),
    "second turned": lambda a, b: jnp.einsum("nmik,nmjk->nmij", a, b),
    "both turned": lambda a, b: lax.dot_general(a, b, (((2,), (3,)), ((0, 1), (0, 1)))),
    "in a loop": lambda a, b: lax.scan(lambda a, _: (0.1 * a @ b, None), a, None, length=3)[0],
    "gradient": lambda a, b: jax.grad(lambda ab: (ab[0] @ ab[1] ** 2).sum())((a, b)),
    "two terms": lambda a, b: jnp.einsum("nmij,nmij->nm", a, b),
    "heads in the middle": lambda a, b: jnp.einsum("inmj,knmj->nmik", a, b),
}


@pytest.mark.parametrize("form", PRODUCTS)
def test_products_of_heads_are_the_same(form):
    ours, plain = compile(PRODUCTS[form])(A, B), jax.jit(PRODUCTS[form])(A, B)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, plain)


@pytest.mark.parametrize("place", ["alone", "scan", "cond", "while", "remat", "jit", "custom rule"])
def test_every_place_is_looked_into(place):
    assert (calls_in(PLACES[place], X, KERNEL) > 0) == usable()


def test_the_gradients_of_both_are_calls_too():
    assert calls_in(convolved, X, KERNEL) == usable()
    assert calls_in(jax.grad(lambda x, k: (convolved(x, k) ** 2).sum(), (0, 1)), X, KERNEL) == 3 * usable()


@pytest.mark.parametrize(
    "form", ["many examples", "strides", "cells apart", "one axis", "three axes", "groups", "groups in several calls"]
)
def test_a_call_is_made_for_the_kernel_of_every_form(form):
    assert (calls_in(PLACES[f"kernel of {form}"], X, KERNEL) > 1) == usable()  # one is the output's


def test_prints_come_out_once_and_in_order(capfd):
    def printing(x, kernel):
        jax.debug.print("before {}", x.ndim, ordered=True)
        y = looped(x, kernel)
        jax.debug.print("after {}", y.ndim, ordered=True)
        return y

    jax.block_until_ready(compile(printing)(X, KERNEL))
    jax.effects_barrier()
    assert capfd.readouterr().out.split("\n")[:2] == ["before 4", "after 4"]


def calls_in(f, *args):
    """How many calls of oneDNN XLA finds in what `compile` makes of f."""
    program = compile(f)
    program(*args)
    found = program._outer.lower(*args).as_text().count("__onednn$")
    release()  # lowered by hand, it is compiled by nobody who would
    return found


def test_calls_are_made_where_they_are_worth_it_and_nowhere_else():
    known = int(usable())
    assert calls_in(convolved, X, KERNEL) == known
    assert calls_in(jnp.matmul, A, B) == known
    small, double, half = X[:1, :2], X.astype("float64"), jnp.bfloat16(X)
    assert calls_in(convolved, small, KERNEL) == calls_in(convolved, half, jnp.bfloat16(KERNEL)) == 0
    assert calls_in(jnp.matmul, A[0], B[0]) == calls_in(jnp.matmul, A[:, :, :8, :8], B[:, :, :8, :8]) == 0
    with jax.enable_x64(True):
        assert calls_in(convolved, double, KERNEL.astype("float64")) == 0


def test_static_arguments_names_and_trees_come_through():
    def f(x, kernel, *, how, tree):
        y = convolved(x, kernel) if how == "conv" else x
        return {"y": y, "none": None, "sum": y.sum() + tree["bias"][0]}, tree

    ours, plain = compile(f, static_argnames="how"), jax.jit(f, static_argnames="how")
    given = {"how": "conv", "tree": {"bias": (jnp.float32(2), None)}}
    found, wanted = ours(X, KERNEL, **given), plain(X, KERNEL, **given)
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    np.testing.assert_allclose(found[0]["sum"], wanted[0]["sum"], rtol=1e-4)
    assert ours(X, KERNEL, **given | {"how": "no"})[0]["y"].shape == X.shape
    assert ours.programs() == 2


def test_a_program_for_several_devices_calls_nothing():
    devices = jax.devices()
    mesh = Mesh(np.array(devices), "d")
    x = jax.device_put(np.repeat(X, len(devices), 0), NamedSharding(mesh, PartitionSpec("d")))
    found = compile(convolved)(x, KERNEL)
    np.testing.assert_allclose(found[:4], jax.jit(convolved)(X, KERNEL), rtol=1e-4, atol=1e-4)
    assert len(devices) == 1 or calls_in(convolved, x, KERNEL) == 0


def test_what_nothing_is_exchanged_in_stays_as_it_is():
    program = jax.make_jaxpr(lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x))(jnp.ones(3))
    assert str(exchange(program)) == str(program)


def test_many_threads_get_the_same_bits():
    """A call waits for others that compute parts of it; each thread does what is left, so none waits for ever."""
    f = compile(PLACES["gradients"])
    wanted, unequal = f(X, KERNEL), []

    def repeat():
        for _ in range(25):
            same = jax.tree.map(lambda a, b: bool((a == b).all()), f(X, KERNEL), wanted)
            unequal.extend([1] * (not all(jax.tree.leaves(same))))

    threads = [threading.Thread(target=repeat, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not unequal
