"""What a transform inside another sees of the loss: its own parameters, as if there were no others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim, tree

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 3))
Y = RNG.standard_normal((6, 2))
PARAMS = {
    "head": {"kernel": RNG.standard_normal((3, 2)), "bias": RNG.standard_normal(2)},
    "trunk": [RNG.standard_normal((3, 3)), RNG.standard_normal(3)],
}


def predict(params):
    h = jnp.tanh(jnp.asarray(X) @ params["trunk"][0] + params["trunk"][1][None])
    return h @ params["head"]["kernel"] + params["head"]["bias"][None]


def output_loss(outputs):
    return jnp.mean((outputs - jnp.asarray(Y)) ** 2)


def extras_of(params, predict):
    f = lambda params: output_loss(predict(params))
    value, grad = jax.value_and_grad(f)(params)
    halves = {"predict_fn": predict, "output_loss_fn": output_loss}
    return grad, {"value": value, "grad": grad, "value_fn": f, **halves}


def walk(optimizer, params, predict, steps=4):
    """The parameters after some steps, in float64."""

    def step(carry, _):
        params, state = carry
        grad, extras = extras_of(params, predict)
        updates, state = optimizer.update(grad, state, params, **extras)
        return (optim.apply_updates(params, updates), state), None

    run = jax.jit(lambda carry: jax.lax.scan(step, carry, None, steps)[0])
    return run((params, optimizer.init(params)))[0]


INNER = {
    "lbfgs": optim.lbfgs(3),
    "sam": optim.sam(optim.sgd(0.1), 0.1),
    "sophia": optim.sophia(0.1, every=2),
    "hessian_free": optim.hessian_free(max_steps=4),
    "repeat": optim.repeat(optim.hessian_free(max_steps=4), 2),
}


@pytest.mark.parametrize("name", INNER)
def test_a_part_moves_as_the_smaller_problem_does(name, agrees):
    inner = INNER[name]
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, PARAMS)
        alone = walk(inner, params["head"], lambda head: predict(params | {"head": head}))
        split = optim.chain(optim.only(inner, "head/**"), optim.only(optim.freeze(), "trunk/*"))
        for kind, optimizer in {"only": split, "groups": optim.groups({"head/*": inner, "**": optim.freeze()})}.items():
            found = walk(optimizer, params, predict)
            agrees.values(f"optim.{kind}, {name}", "the smaller problem", found["head"], alone)
            jax.tree.map(np.testing.assert_array_equal, found["trunk"], params["trunk"])


class SeenError(Exception):
    """The transform in the middle was reached, and all was as it should be."""


def update_of_the_spy(updates, state, params=None, *, value, grad, value_fn, predict_fn, output_loss_fn, **extras):
    again, slope = jax.value_and_grad(value_fn)(params)
    tree.require_like(grad, params, "gradient", "parameters")
    np.testing.assert_allclose(again, value, rtol=1e-6)
    np.testing.assert_allclose(output_loss_fn(predict_fn(params)), value, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3), grad, slope)
    raise SeenError


PATTERN = "**/kernel"
NARROW = {
    "master_weights": optim.master_weights,
    "kahan": optim.kahan,
    "stochastic_rounding": optim.stochastic_rounding,
}
AROUND = NARROW | {
    "only": lambda inner: optim.only(inner, PATTERN),
    "groups": lambda inner: optim.groups({PATTERN: inner, "**": optim.freeze()}),
    "groups in groups": lambda inner: optim.groups(
        {"head/*": optim.groups({PATTERN: inner, "**": optim.freeze()}), "**": optim.sgd(1.0)}
    ),
    "chain": optim.chain,
    "skip_non_finite": optim.skip_non_finite,
    "skip_large": lambda inner: optim.skip_large(inner, 1e9),
    "scale_loss": optim.scale_loss,
    "lookahead": optim.lookahead,
    "schedule_free": optim.schedule_free,
    "mechanic": optim.mechanic,
    "cautious": optim.cautious,
    "tangential": optim.tangential,
    "repeat": lambda inner: optim.repeat(inner, 2),
}


@pytest.mark.parametrize("name", AROUND)
def test_every_wrapper_passes_the_loss_of_the_parameters_that_it_passes(name):
    dtype = jnp.bfloat16 if name in NARROW else jnp.float32
    params = jax.tree.map(lambda p: jnp.asarray(p, dtype), PARAMS)
    wide = lambda params: predict(jax.tree.map(lambda p: _of_type(p, dtype).astype(jnp.float32), params))
    grad, extras = extras_of(params, wide)
    optimizer = AROUND[name](optim.Transform(lambda params: (), update_of_the_spy))
    scaled = jax.tree.map(lambda g: g * 2.0**16, grad) if name == "scale_loss" else grad
    with pytest.raises(SeenError):
        optimizer.update(scaled, optimizer.init(params), params, **extras)


def _of_type(leaf, dtype):
    assert leaf.dtype == dtype, "the model is given parameters of another type than its own"
    return leaf


@pytest.mark.parametrize("around", [AROUND["only"], AROUND["groups"]], ids=["only", "groups"])
def test_without_parameters_the_inner_transform_says_what_it_needs(around):
    params = jax.tree.map(jnp.float32, PARAMS)
    grad, extras = extras_of(params, predict)
    for inner in (optim.newton_cg(), optim.sam(optim.sgd(0.1))):
        optimizer = around(inner)
        with pytest.raises(TypeError, match="needs the parameters and the loss"):
            optimizer.update(grad, optimizer.init(params), **extras)
