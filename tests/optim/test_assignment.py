"""The cheapest assignment, against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 7), (12, 30)])
def test_the_cost_is_that_of_scipy(agrees, shape):
    optimize = pytest.importorskip("scipy.optimize")
    costs = np.random.default_rng(0).standard_normal((20, *shape)) * 10
    costs[1::2] = costs[1::2].round()  # ties
    found = np.asarray(jax.jit(jax.vmap(optim.assignment))(jnp.asarray(costs, "float32")))
    assert found.shape == (20, shape[0])
    assert all(len(set(columns)) == shape[0] for columns in found)
    total = [cost[np.arange(shape[0]), columns].sum() for cost, columns in zip(costs, found)]
    wanted = [cost[optimize.linear_sum_assignment(cost)].sum() for cost in costs]
    source = "scipy.optimize.linear_sum_assignment"
    agrees.values("optim.assignment", source, np.array(total), np.array(wanted), most=1e-6)


def test_what_is_not_finite_is_forbidden():
    cost = jnp.asarray([[1.0, jnp.inf, 0.0], [jnp.nan, -jnp.inf, 0.5], [2.0, jnp.inf, jnp.inf]])
    assert optim.assignment(cost).tolist() == [0, 2, -1]  # columns 0 and 2 are all there is: 1.5 is the least
    assert optim.assignment(jnp.full((2, 3), jnp.nan)).tolist() == [-1, -1]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="give its transpose"):
        optim.assignment(jnp.zeros((3, 2)))
    with pytest.raises(TypeError, match="cost"):
        optim.assignment(jnp.zeros((2, 2), int))
