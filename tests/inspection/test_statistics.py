"""Statistics against NumPy on captured values and on gradients by perturbation."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from fdl import nn
from fdl.inspection import capture, statistics
from fdl.inspection.statistics import measure
from tests.inspection.models import deep

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 4))


def by_numpy(values):
    values = np.asarray(values, np.float64).ravel()
    finite = values[np.isfinite(values)]
    return finite.mean(), finite.std(), finite.min(), finite.max(), np.mean(values == 0), np.mean(~np.isfinite(values))


def loss(y):
    return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))


def test_outputs_have_the_moments_of_what_is_captured(agrees):
    model = nn.serial(nn.dense(4, 5), nn.relu, nn.repeat(nn.serial(nn.dense(5, 5), nn.relu), 3), head=nn.dense(5, 2))
    params, state = model.init(KEY)
    found = jax.jit(lambda params, x: statistics(model, params, state, x))(params, X)
    assert found.output_gradients == found.param_gradients == {}
    values = jax.jit(lambda params, x: capture(model, "**", params, state, x)[2])(params, X)
    assert found.outputs.keys() == values.keys()
    for path in ("dense_0", "relu_0", "head", ""):
        agrees.values("inspection.statistics", "numpy", tuple(found.outputs[path]), by_numpy(values[path]))
    rows = np.stack([by_numpy(row) for row in values["repeat_0/relu_0"]], 1)
    agrees.values("inspection.statistics", "numpy", tuple(found.outputs["repeat_0/relu_0"]), tuple(rows))
    assert (rows[4] > 0.1).all()  # relu makes zeros, so that their share is put to the test


def test_gradients_are_those_by_an_addition_to_the_output(agrees):
    """The model written out by hand, with a zero added to each output: its gradient is that by the output."""
    model = nn.serial(nn.dense(4, 5), nn.tanh, head=nn.dense(5, 2))
    params, state = model.init(KEY)
    found = jax.jit(lambda params, x: statistics(model, params, state, x, loss=loss))(params, X)

    def by_hand(params, added):
        affine = lambda name, x: x @ params[name]["kernel"] + params[name]["bias"][None] + added[name]
        return loss(affine("head", jnp.tanh(affine("dense_0", X)) + added["tanh_0"]))

    added = {"dense_0": jnp.zeros((6, 5)), "tanh_0": jnp.zeros((6, 5)), "head": jnp.zeros((6, 2))}
    by_params, by_outputs = jax.grad(by_hand, (0, 1))(params, added)
    for path, want in by_outputs.items():
        got = tuple(found.output_gradients[path])
        agrees.values("inspection.statistics, gradients by outputs", "numpy, perturbation", got, by_numpy(want))
    for path in ("dense_0/kernel", "dense_0/bias", "head/kernel", "head/bias"):
        name, leaf = path.split("/")
        want = by_numpy(by_params[name][leaf])
        agrees.values(
            "inspection.statistics, gradients by parameters", "numpy", tuple(found.param_gradients[path]), want
        )
    chex.assert_trees_all_equal(found.output_gradients[""], found.output_gradients["head"])


def test_repeated_recomputed_and_shared_parts_have_gradients_a_call_each():
    model = deep()
    params, state = model.init(KEY)
    run = jax.jit(lambda params, x: statistics(model, params, state, x, loss=loss, where=["blocks/**", "norm"]))
    found = run(params, X)
    assert found.outputs["blocks/mlp#2"].mean.shape == (3,)
    assert found.output_gradients.keys() == found.outputs.keys()
    # The sum of the gradient by the last dense output is that by its bias, summed over both calls.
    mean = found.output_gradients["blocks/mlp/dense_0"].mean + found.output_gradients["blocks/mlp/dense_0#2"].mean
    bias = jax.jit(jax.grad(lambda params: loss(model.apply(params, state, X)[0])))(params)["blocks"]["mlp"]["dense_0"][
        "bias"
    ]
    chex.assert_trees_all_close(mean * X.size, bias.sum(-1), rtol=1e-4, atol=1e-6)


def test_the_table_has_a_line_for_every_path_and_repetition():
    model = nn.serial(nn.embedding(7, 4), nn.repeat(nn.residual(nn.dense(4, 4)), 2))
    params, state = model.init(KEY)
    found = jax.jit(lambda params, x: statistics(model, params, state, x, loss=loss))(params, jnp.arange(5))
    text = str(found)
    assert text.splitlines()[0].split() == ["outputs", "mean", "std", "min", "max", "zeros", "nonfinite"]
    for line in ("(model)", "embedding_0", "repeat_0/dense_0[0]", "repeat_0/dense_0[1]", "embedding_0/table"):
        assert f"\n{line} " in text
    assert "output gradients" in text
    assert "param gradients" in text


def test_infinite_values_are_counted_and_left_out():
    x = jnp.array([1.0, jnp.nan, 3.0, jnp.inf, 0.0, -jnp.inf])
    got = measure(x)
    np.testing.assert_allclose(got, by_numpy(x), rtol=1e-6)
    assert float(got.nonfinite) == 0.5
    nothing = measure(jnp.full(3, jnp.nan))
    assert np.isnan([nothing.mean, nothing.min, nothing.max]).all()
    assert float(nothing.nonfinite) == 1


def test_trees_integers_and_short_floats():
    assert measure({"tokens": jnp.arange(3)}) is None
    both = measure((jnp.ones(2, jnp.bfloat16), jnp.zeros(2), jnp.arange(3)))
    assert both.mean.dtype == jnp.float32
    assert (float(both.mean), float(both.zeros)) == (0.5, 0.5)
    assert float(measure(jnp.array([3 + 1j])).max) == 3
    wide = measure(jnp.full(4096, 1.001, jnp.bfloat16))
    np.testing.assert_allclose([wide.mean, wide.std], [1, 0], atol=1e-6)  # 1.001 is 1 in bfloat16


def test_outputs_without_floating_point_values_have_no_line():
    model = nn.serial(nn.function(jnp.argmax), nn.function(jnp.negative))
    assert statistics(model, {}, {}, X, loss=lambda y: jnp.zeros(())).outputs == {}
