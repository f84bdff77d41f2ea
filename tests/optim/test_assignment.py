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
    agrees.values(
        "optim.assignment", "scipy.optimize.linear_sum_assignment", np.array(total), np.array(wanted), most=1e-6
    )


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="give its transpose"):
        optim.assignment(jnp.zeros((3, 2)))
    with pytest.raises(TypeError, match="cost"):
        optim.assignment(jnp.zeros((2, 2), int))
