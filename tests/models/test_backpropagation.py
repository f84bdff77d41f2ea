"""Backpropagation by hand against jax.grad and finite differences; what no net without hidden units computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from fdl import nn
from fdl.checks import ShapeError
from fdl.models import Group, activities, backpropagate, unit_groups

# Inputs that meet half-way, connections that skip a layer, a group that two others hear.
NET = {
    "a": Group(3),
    "b": Group(2),
    "left": Group(4, ("a",)),
    "right": Group(3, ("b", "left")),
    "top": Group(2, ("left", "right", "a")),
}
RNG = np.random.default_rng(0)
A, B, D = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2)), RNG.uniform(size=(5, 2))


def params_of(groups, dtype=float):
    model = unit_groups(groups, weight_init=nn.uniform(-1, 1))
    return model, jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64), dtype), model.init(KEY)[0])


KEY = jax.random.key(0)


def by_hand(groups, params, x, d):
    values = activities(groups, params, *x)
    return backpropagate(groups, params, values, list(values.values())[-1] - d)


def test_the_gradient_is_that_of_jax_and_of_finite_differences(agrees):
    with jax.enable_x64(True):
        model, params = params_of(NET)
        x, d = (jnp.asarray(A), jnp.asarray(B)), jnp.asarray(D)
        error = jax.jit(lambda params: 0.5 * jnp.sum((model.apply(params, {}, *x)[0] - d) ** 2))
        found = jax.jit(lambda params: by_hand(NET, params, x, d))(params)
        agrees.values("models.backpropagate", "jax.grad", found, jax.jit(jax.grad(error))(params), most=1e-12)

        flat, restore = jax.flatten_util.ravel_pytree(params)
        step = 1e-5
        nudged = flat[None] + step * jnp.concatenate([jnp.eye(flat.size), -jnp.eye(flat.size)])
        values = np.asarray(jax.jit(jax.vmap(lambda flat: error(restore(flat))))(nudged)).reshape(2, -1)
        differences = (values[0] - values[1]) / (2 * step)
        agrees.values(
            "models.backpropagate",
            "finite differences",
            jax.flatten_util.ravel_pytree(found)[0],
            differences,
            most=1e-8,
        )


def test_activities_are_those_of_numpy(agrees):
    with jax.enable_x64(True):
        _, params = params_of(NET)
        got = activities(NET, params, jnp.asarray(A), jnp.asarray(B))
        w = jax.tree.map(np.asarray, params)
        unit = lambda name, *heard: 1 / (1 + np.exp(-np.concatenate(heard, 1) @ w[name]["kernel"] - w[name]["bias"]))
        left = unit("left", A)
        right = unit("right", B, left)
        agrees.values("models.activities", "numpy", got["top"], unit("top", left, right, A), most=1e-12)


def test_tied_and_unrolled_it_is_backpropagation_through_time(agrees):
    """Figure 5 of the Nature paper: a net that runs for four steps is four layers with the same weights."""
    steps, size = 4, 3
    chain = {"y0": Group(size)} | {f"y{t}": Group(size, (f"y{t - 1}",)) for t in range(1, steps + 1)}
    with jax.enable_x64(True):
        _, params = params_of(chain)
        tied, x, d = params["y1"], jnp.asarray(A), jnp.asarray(A) * 0.1

        def error(tied):
            turn = lambda y, _: (jax.nn.sigmoid(y @ tied["kernel"] + tied["bias"][None]), None)
            return 0.5 * jnp.sum((jax.lax.scan(turn, x, length=steps)[0] - d) ** 2)

        layers = by_hand(chain, {f"y{t}": tied for t in range(1, steps + 1)}, (x,), d)
        summed = jax.tree.map(lambda *leaves: sum(leaves), *layers.values())
        agrees.values("models.backpropagate", "BPTT by jax.grad of a scan", summed, jax.grad(error)(tied), most=1e-12)


def separable(x, target):
    """Whether one unit with a threshold can do it: whether some w, b have ±(w·x + b) >= 1 for all cases."""
    sign = np.where(target, 1, -1)[:, None]
    rows = -sign * np.c_[x, np.ones(len(x))]
    return linprog(np.zeros(x.shape[1] + 1), rows, -np.ones(len(x)), bounds=(None, None)).status == 0


def test_what_needs_hidden_units_is_not_linearly_separable():
    bits = lambda n: np.indices((2,) * n).reshape(n, -1).T
    parity = lambda n: bits(n).sum(1) % 2 == 1
    assert not separable(bits(2), parity(2))  # XOR
    assert not separable(bits(4), parity(4))
    assert not separable(bits(6), (bits(6) == bits(6)[:, ::-1]).all(1))
    assert separable(bits(2), bits(2).any(1))  # OR, so that the program can say yes
    assert separable(bits(6), bits(6).sum(1) > 3)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="top hears 'up', which is not below it; below are x"):
        unit_groups({"x": Group(2), "top": Group(1, ("up",)), "up": Group(1, ("x",))})
    with pytest.raises(ValueError, match="the last group is the output"):
        unit_groups({"x": Group(2)})
    model, params = params_of(NET, jnp.float32)
    with pytest.raises(ShapeError, match="the net has the inputs a, b, got 1 arrays"):
        model.apply(params, {}, jnp.ones((5, 3)))
    with pytest.raises(ShapeError, match="b must have shape"):
        model.apply(params, {}, jnp.ones((5, 3)), jnp.ones((5, 3)))
    one = activities(NET, params, jnp.ones(3), jnp.ones(2))
    with pytest.raises(ShapeError, match="give a batch"):
        backpropagate(NET, params, one, one["top"])
    with pytest.raises(ShapeError, match="signal must have shape"):
        backpropagate(NET, params, activities(NET, params, jnp.ones((5, 3)), jnp.ones((5, 2))), jnp.ones((5, 1)))


def test_a_net_is_a_value_and_compiles_as_any_layer():
    model, params = params_of(NET, jnp.float32)
    assert model == unit_groups(dict(NET), weight_init=nn.uniform(-1, 1))
    x = jnp.ones((5, 3)), jnp.ones((5, 2))
    np.testing.assert_allclose(jax.jit(model.apply)(params, {}, *x)[0], model.apply(params, {}, *x)[0], rtol=1e-6)
