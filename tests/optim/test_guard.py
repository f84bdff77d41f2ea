"""Steps left out are counted and leave everything as it was, up to a limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim

PARAMS = {"kernel": jnp.asarray([1.0, 2.0])}
GOOD = {"kernel": jnp.asarray([0.5, -0.5])}
BAD = {"kernel": jnp.asarray([jnp.nan, 1.0])}


def walk(optimizer, gradients):
    step = jax.jit(optimizer.update)
    params, state = PARAMS, optimizer.init(PARAMS)
    for gradient in gradients:
        updates, state = step(gradient, state, params)
        params = optim.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_gradient_that_is_not_finite_leaves_all_as_it_was(agrees, bad):
    guarded = optim.skip_non_finite(optim.adam(0.1))
    params, state = walk(guarded, [GOOD, {"kernel": jnp.asarray([1.0, bad])}, GOOD])
    wanted, inner = walk(optim.adam(0.1), [GOOD, GOOD])
    agrees.values("optim.skip_non_finite", "the run without that step", params, wanted)
    jax.tree.map(np.testing.assert_array_equal, state.inner, inner)
    assert (int(state.total), int(state.in_a_row)) == (1, 0)


def test_after_the_most_in_a_row_one_is_let_through():
    guarded = optim.skip_non_finite(optim.sgd(0.1), most=2)
    params, state = walk(guarded, [BAD, GOOD, BAD, BAD])
    assert np.isfinite(params["kernel"]).all()
    assert (int(state.total), int(state.in_a_row)) == (3, 2)
    params, state = walk(guarded, [BAD, BAD, BAD])
    assert np.isnan(params["kernel"]).tolist() == [True, False]
    assert np.isnan(walk(optim.skip_non_finite(optim.sgd(0.1), most=0), [BAD])[0]["kernel"][0])


def test_a_large_gradient_is_left_out(agrees):
    large = {"kernel": jnp.asarray([30.0, 40.0])}
    guarded = optim.skip_large(optim.momentum(0.1), 49.9)
    params, state = walk(guarded, [GOOD, large, BAD, GOOD])
    agrees.values("optim.skip_large", "the run without that step", params, walk(optim.momentum(0.1), [GOOD, GOOD])[0])
    assert int(state.total) == 2
    assert int(walk(optim.skip_large(optim.sgd(0.1), 50.1), [large])[1].total) == 0


def test_bad_input_is_refused():
    guarded = optim.skip_non_finite(optim.sgd(0.1))
    with pytest.raises(TypeError, match=r"must be the SkipState that init makes, got dict; the order is update\("):
        guarded.update(guarded.init(PARAMS), GOOD, PARAMS)
    with pytest.raises(ValueError, match="most must be a whole number"):
        optim.skip_non_finite(optim.sgd(0.1), most=-1)
    with pytest.raises(TypeError, match="limit must be a number"):
        optim.skip_large(optim.sgd(0.1), optim.constant(1.0))
