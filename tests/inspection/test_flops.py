"""Operations against torch's counter, XLA's own analysis and counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, tree
from fdl.inspection import flops
from fdl.nn.channels import channel_sum, per_channel
from fdl.nn.convolution.primitive import convolve

PRODUCTS = ("dot_general", "fdl_contract", "conv_general_dilated")


def spec(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def products(f, *specs):
    found = flops(f, *specs).by_primitive
    return sum(found.get(name, 0) for name in PRODUCTS)


def counted_by_torch(f, *shapes):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    tensors = [torch.ones(shape, requires_grad=True) for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        f(torch, *tensors)
    return counter.get_total_flops()


def conv_of_torch(torch, x, kernel, **options):
    return torch.nn.functional.conv2d(x, kernel, **options)


CONVOLUTIONS = {
    "valid": {"padding": 0},
    "padded": {"padding": 1},
    "stride": {"padding": 1, "stride": 2},
    "dilation": {"padding": 2, "dilation": 2},
    "groups": {"padding": 1, "groups": 2},
}


@pytest.mark.parametrize("plain", [False, True], ids=["primitive", "lax"])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions_count_as_in_torch(agrees, options, plain):
    groups = options.get("groups", 1)
    want = counted_by_torch(
        lambda torch, x, kernel: conv_of_torch(torch, x, kernel, **options), (2, 4, 7, 9), (6, 4 // groups, 3, 3)
    )
    ours = lambda x, kernel: convolve(x, kernel, plain=plain, **options)
    got = products(ours, spec(2, 7, 9, 4), spec(3, 3, 4 // groups, 6))
    agrees.values("inspection.flops", "torch flop counter", float(got), float(want))


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_a_convolution_cost_what_it_costs_each(agrees, stride):
    want = counted_by_torch(
        lambda torch, x, k: conv_of_torch(torch, x, k, stride=stride).sum().backward(), (2, 4, 7, 9), (6, 4, 3, 3)
    )
    ours = jax.grad(lambda x, k: jnp.sum(convolve(x, k, stride=stride, padding="valid")), (0, 1))
    agrees.values(
        "inspection.flops, gradients",
        "torch flop counter",
        float(products(ours, spec(2, 7, 9, 4), spec(3, 3, 4, 6))),
        float(want),
    )


def test_transposed_convolutions_of_jax_count_no_holes():
    kernel, x = spec(3, 3, 4, 6), spec(2, 4, 5, 6)
    ours = lambda x, kernel: jax.lax.conv_transpose(
        x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True
    )
    want = counted_by_torch(
        lambda torch, x, k: torch.nn.functional.conv_transpose2d(x, k, stride=2), (2, 6, 4, 5), (6, 4, 3, 3)
    )
    assert products(ours, x, kernel) == want


def test_a_perceptron_and_its_gradient_count_as_in_torch(agrees):
    shapes = (7, 5), (5, 11), (11, 3)
    forward = lambda x, a, b: jnp.tanh(x @ a) @ b
    theirs = lambda torch, x, a, b: torch.tanh(x @ a) @ b
    specs = [spec(*shape) for shape in shapes]
    agrees.values(
        "inspection.flops",
        "torch flop counter",
        float(products(forward, *specs)),
        float(counted_by_torch(theirs, *shapes)),
    )
    gradient = jax.grad(lambda *a: jnp.sum(forward(*a)), (0, 1, 2))
    want = counted_by_torch(lambda torch, *a: theirs(torch, *a).sum().backward(), *shapes)
    agrees.values("inspection.flops, gradients", "torch flop counter", float(products(gradient, *specs)), float(want))


def test_batched_products_count_as_in_torch(agrees):
    shapes = (2, 3, 5, 7), (2, 3, 7, 4)
    want = counted_by_torch(lambda torch, a, b: a @ b, *shapes)
    got = flops(jnp.matmul, *(spec(*shape) for shape in shapes)).total
    agrees.values("inspection.flops", "torch flop counter", float(got), float(want))


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (lambda x, w: jnp.maximum(x @ w, 0), [(16, 32), (32, 8)]),
        (lambda x: jnp.sum(x * x + 1, 0), [(64, 33)]),
        (lambda x, k: convolve(x, k, padding="valid", plain=True), [(2, 8, 8, 3), (3, 3, 3, 5)]),
    ],
    ids=["dense", "elementwise", "conv"],
)
def test_the_compiler_counts_about_the_same(f, shapes):
    specs = [spec(*shape) for shape in shapes]
    theirs = jax.jit(f).lower(*specs).compile().cost_analysis()["flops"]
    np.testing.assert_allclose(flops(f, *specs).total, theirs, rtol=0.05)


HAND = {
    "elementwise": (lambda x: x * 2 + 1, 24),
    "moving": (lambda x: jnp.concatenate([x.T, x.T])[:2].reshape(-1), 0),
    "comparing": (lambda x: jnp.where(x > 0, x, 0), 0),
    "reduction": (jnp.sum, 12),
    "argmax": (lambda x: jnp.argmax(x, 0), 12),
    "running sum": (lambda x: jnp.cumsum(x, 0), 12),
    "channel sum": (channel_sum, 12),
    "channel spread": (lambda x: per_channel(x[0], x), 0),
    "window": (lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, (2, 2), (1, 1), "VALID"), 2 * 3 * 4),
    "scan": (lambda x: jax.lax.scan(lambda c, row: (c + row, c * row), x[0], x)[0], 3 * 8),
    "counted loop": (lambda x: jax.lax.fori_loop(0, 5, lambda i, x: x * 2, x), 60),
    "cond": (lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x * 2 + 1, lambda x: x * 2, x), 24),
    "jit": (jax.jit(lambda x: jax.jit(jnp.sin)(x) * 2), 24),
    "checkpoint": (jax.checkpoint(jnp.sin), 12),
    "custom derivative": (jax.nn.relu, 12),
    "fft": (lambda x: jnp.fft.fft(x, axis=1), 5 * 12 * 2),
    "integers": (lambda x: jnp.arange(5) * 3, 0),
    "normalise": (lambda x: x / jnp.sum(x, -1, keepdims=True), 24),
}


@pytest.mark.parametrize(("f", "want"), HAND.values(), ids=HAND)
def test_operations_by_hand(f, want):
    found = flops(f, spec(3, 4))
    assert (found.total, found.at_least) == (want, False)
    assert sum(found.by_primitive.values()) == want


def test_a_scatter_adds_what_it_is_given_and_a_mapped_product_counts_every_row():
    assert flops(lambda x, u: x.at[jnp.array([0, 2, 2])].add(u), spec(5, 4), spec(3, 4)).total == 12
    assert flops(jax.vmap(jnp.dot, (0, None)), spec(3, 4), spec(4)).total == 24


def test_what_cannot_be_known_is_marked():
    loop = flops(lambda x: jax.lax.while_loop(lambda x: x[0] < 9, lambda x: x * 2, x), spec(3))
    assert (loop.total, loop.at_least) == (3, True)
    assert flops(jnp.linalg.svd, spec(3, 3)).at_least
    assert flops(lambda x: jnp.linalg.cholesky(x, symmetrize_input=False), spec(6, 6)).by_primitive["cholesky"] == 72


def test_repetition_counts_as_often_as_it_runs_and_trees_are_taken():
    model = nn.repeat(nn.dense(5, 5, use_bias=False), 7)
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    run = lambda params, x: model.apply(params, state, x)[0]
    assert products(run, params, spec(3, 5)) == 7 * 2 * 3 * 5 * 5


def test_a_language_model_counts_as_the_textbooks_and_the_compiler_count():
    batch, time, vocab, depth, dim = 4, 32, 65, 2, 64
    block = nn.encoder_block(dim, 4, causal=True)
    head = nn.dense(dim, vocab, use_bias=False)
    position = nn.learned_position(time, dim)
    model = nn.serial(nn.embedding(vocab, dim), position, *[block] * depth, nn.layer_norm(dim), head)
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    assert tree.count(params) == (2 * vocab + time) * dim + depth * (12 * dim**2 + 13 * dim) + 2 * dim
    run = lambda params, tokens: model.apply(params, state, tokens)[0]
    tokens = spec(batch, time, dtype="int32")
    found, letters = flops(run, params, tokens), batch * time
    assert products(run, params, tokens) == 2 * letters * (12 * depth * dim**2 + vocab * dim + 2 * depth * time * dim)
    theirs = jax.jit(run).lower(params, tokens).cost_analysis()["flops"]
    np.testing.assert_allclose(found.total, theirs, rtol=0.02)
