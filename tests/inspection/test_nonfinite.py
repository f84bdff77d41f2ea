"""A NaN or infinity put into each of many places is found in exactly that place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, tree
from fdl.checks import TreeError
from fdl.inspection import find_nonfinite

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 4))


def loss(y):
    return jnp.mean(y**2)


def halves(x, heads, mlp):
    return heads[1](mlp(heads[0](x))) + x


def body(first=nn.tanh, second=nn.tanh, third=nn.tanh):
    return nn.wire(halves, heads=[nn.serial(nn.dense(4, 4), first), second], mlp=nn.residual(nn.dense(4, 4), third))


def model_with(blocks, tail=nn.tanh):
    return nn.serial(start=nn.dense(4, 4), blocks=blocks, norm=nn.batch_norm(4), tail=tail, head=nn.dense(4, 2))


MODEL = model_with(nn.repeat(nn.remat(body()), 3))
CALM = nn.repeat(nn.remat(body()), 3)


def divide_by_zero(x):
    return x / (x - x)


def log_of_zero(x):
    return jnp.log(0 * x)


def root_of_zero(x):
    return jnp.sqrt(jnp.maximum(0 * x, 0))


def big(x):
    return jnp.exp(100 + jnp.abs(x))


def find(model, params=None, x=X, train=False, **change):
    if params is None:
        params = model.init(KEY)[0]
    state = model.init(KEY)[1] | change
    return find_nonfinite(model, params, state, x, loss=loss, train=train)


def poisoned(path, place, value):
    params = MODEL.init(KEY)[0]
    return tree.map_where(lambda leaf: leaf.at[place].set(value), params, path)


STRAIGHT = model_with(body(third=divide_by_zero))
FORWARD = {
    "tail": model_with(CALM, divide_by_zero),
    "blocks/heads/0/divide_by_zero_0": model_with(nn.repeat(body(first=divide_by_zero), 3)),
    "blocks/heads/1": model_with(nn.repeat(nn.remat(body(second=log_of_zero)), 3)),
    "blocks/mlp/big_0": model_with(nn.repeat(nn.remat(body(third=big)), 3)),
    "blocks/mlp/divide_by_zero_0": STRAIGHT,
}


@pytest.mark.parametrize(("path", "model"), FORWARD.items(), ids=FORWARD)
def test_the_first_part_forward_is_named(path, model):
    found = find(model)
    assert (found.kind, found.path, found.call) == ("forward", path, 0)
    assert found.repetition == ((0,) if path.startswith("blocks") and model is not STRAIGHT else ())
    assert (found.nan, found.inf) == (0, 24)
    assert str(found).startswith(f"forward: {path}")
    assert str(found).endswith("of 24 values from finite inputs")


def test_the_repetition_is_named():
    """Squaring x again and again overflows in one repetition only."""
    model = nn.repeat(nn.serial(square=nn.function(jnp.square), scale=nn.function(lambda x: x * 1.0)), 10)
    found = find_nonfinite(model, {}, {}, jnp.full((2, 3), 10.0))
    # 10^(2^k) passes 3.4e38 at k = 6, the sixth repetition.
    assert (found.path, found.repetition, found.inf) == ("square", (5,), 6)
    assert (
        str(found)
        == "forward: square (repetition 5): function(square) gave 0 NaN and 6 Inf of 6 values from finite inputs"
    )


def test_order_within_repetitions_goes_before_order_of_parts():
    """The second part fails in repetition 0, the first one only then, in repetition 1."""
    first = nn.function(lambda x: jnp.where(x > 50, x / 0.0, x))
    second = nn.function(lambda x: jnp.where(x < 2, jnp.inf, x))
    model = nn.repeat(nn.serial(first=first, second=second), 2)
    assert find_nonfinite(model, {}, {}, jnp.ones((2, 3))).path == "second"


def test_nested_repetitions_are_both_named():
    model = nn.repeat(nn.serial(inner=nn.repeat(nn.serial(square=nn.function(jnp.square)), 2)), 5)
    found = find_nonfinite(model, {}, {}, jnp.full((2, 3), 10.0))
    assert (found.path, found.repetition) == ("inner/square", (2, 1))


def test_a_second_call_is_told_from_the_first():
    model = nn.wire(lambda x, part: part(part(x) - 1), part=nn.function(lambda x: 1 / x))
    found = find_nonfinite(model, {}, {}, jnp.ones((2, 3)))
    assert (found.path, found.call, found.inf) == ("part", 1, 6)
    assert "forward: part (call 2): " in str(found)


def test_what_a_composite_does_itself_is_its_own():
    model = nn.serial(a=nn.dense(4, 4), b=nn.wire(lambda x, part: part(x / (x - x)), part=nn.dense(4, 4)))
    found = find(model)
    assert (found.kind, found.path) == ("forward", "b")
    assert str(found).endswith("between its parts")


@pytest.mark.parametrize(
    ("path", "place", "repetition"),
    [("start/bias", (1,), ()), ("blocks/mlp/dense_0/kernel", (2, 0, 0), (2,)), ("head/kernel", (0, 0), ())],
    ids=["first", "repeated", "last"],
)
def test_parameters_that_are_not_finite_are_named(path, place, repetition):
    found = find(MODEL, poisoned(path, place, jnp.inf))
    assert (found.kind, found.path, found.repetition) == ("params", path, repetition)
    assert (found.nan, found.inf) == (0, 1)
    assert f"{path}" in str(found)


def test_input_and_state_that_are_not_finite_are_named():
    found = find(MODEL, x=X.at[2, 1].set(jnp.nan))
    assert (found.kind, found.nan, found.inf, found.size) == ("input", 1, 0, 24)
    assert str(found) == "input: the input of the model has 1 NaN and 0 Inf of 24 values"
    broken = {"mean": jnp.zeros(4).at[0].set(jnp.nan), "var": jnp.ones(4)}
    found = find(MODEL, norm=broken)
    assert (found.kind, found.path, found.nan) == ("state", "norm/mean", 1)


BACKWARD = {
    "tail": model_with(CALM, root_of_zero),
    "blocks/heads/1": model_with(nn.repeat(nn.remat(body(second=root_of_zero)), 3)),
    "blocks/mlp/root_of_zero_0": model_with(nn.repeat(body(third=root_of_zero), 3)),
}


@pytest.mark.parametrize(("path", "model"), BACKWARD.items(), ids=BACKWARD)
def test_the_first_part_backward_is_named(path, model):
    found = find(model)
    assert (found.kind, found.path, found.nan, found.size) == ("backward", path, 24, 24)
    assert found.repetition == ((2,) if path.startswith("blocks") else ())  # the last one comes first
    assert "root_of_zero) gave a gradient of its input with 24 NaN" in str(found)


def test_a_gradient_by_parameters_alone_is_found():
    scale = nn.pure(lambda key: {"scale": jnp.zeros(())}, lambda params, x: x + jnp.sqrt(params["scale"]))
    found = find(nn.serial(nn.dense(4, 4), root=scale, head=nn.dense(4, 2)))
    assert (found.kind, found.path, found.inf, found.size) == ("backward", "root", 1, 1)
    assert "gradient of its parameters" in str(found)


def test_what_a_composite_does_itself_backward_is_its_own():
    model = nn.serial(a=nn.dense(4, 4), b=nn.wire(lambda x, part: part(root_of_zero(x)), part=nn.dense(4, 4)))
    found = find(model)
    assert (found.kind, found.path) == ("backward", "b")


def test_the_loss_is_named_forward_and_backward():
    params, state = MODEL.init(KEY)
    found = find_nonfinite(MODEL, params, state, X, loss=lambda y: jnp.log(-jnp.mean(y**2)))
    assert (found.kind, found.nan) == ("loss", 1)
    assert str(found) == "loss: the loss has 1 NaN and 0 Inf of 1 values for a finite output"
    found = find_nonfinite(MODEL, params, state, X, loss=lambda y: jnp.sum(jnp.sqrt(0 * y**2)))
    assert found.kind == "loss"
    assert "the gradient of the loss by the output of the model has 12 NaN" in str(found)


def test_nothing_is_found_where_nothing_is_wrong():
    constant = X.at[:, 0].set(3.0)  # a channel without variance
    norm = nn.serial(nn.batch_norm(4), nn.dense(4, 2))
    assert find(norm, x=constant, train=True) is None
    assert find(MODEL, train=True) is None
    assert find_nonfinite(MODEL, *MODEL.init(KEY), X) is None


def test_an_infinity_that_does_no_harm_is_no_finding():
    masked = nn.serial(nn.function(lambda x: jnp.where(x < 0, -jnp.inf, x)), nn.function(lambda x: jnp.exp(x)))
    assert find_nonfinite(masked, {}, {}, X) is None
    roots = nn.serial(
        nn.function(jnp.sqrt), nn.dense(4, 2)
    )  # its own gradient is infinite at 0, but nobody asks for it
    params, state = roots.init(KEY)
    assert find_nonfinite(roots, params, state, jnp.zeros((6, 4)), loss=loss) is None


def test_it_looks_where_it_is_told_and_says_what_is_wrong_with_that():
    model = FORWARD["blocks/mlp/big_0"]
    params, state = model.init(KEY)
    found = find_nonfinite(model, params, state, X, where=["blocks", "blocks/mlp"], loss=loss)
    assert found.path == "blocks/mlp"
    with pytest.raises(TreeError, match="matches nothing"):
        find_nonfinite(model, params, state, X, where="tails")


def test_noise_and_training_are_those_of_the_call():
    model = nn.serial(nn.dense(4, 4), nn.dropout(0.5), inverse=nn.function(lambda x: 1 / x))
    params, state = model.init(KEY)
    assert find_nonfinite(model, params, state, X) is None
    found = find_nonfinite(model, params, state, X, key=KEY, train=True)
    y, _ = model.apply(params, state, X, key=KEY, train=True)
    assert (found.path, found.inf) == ("inverse", int(np.isinf(y).sum()))
