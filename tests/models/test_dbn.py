"""Stacks of RBMs: what passes between them, and the rules of the up-down algorithm written down by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import models

RNG = np.random.default_rng(0)
TOP = models.RBM(4 + 2, 3, models.side_by_side((4, models.BINARY), (2, models.SOFTMAX)))
FIRM = 1e5  # so large that a unit drawn is the sign of its input


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_each_rbm_learns_the_hidden_units_of_the_one_below():
    stack, seen = models.rbm_stack(6, 4, 3, top=models.GAUSSIAN), []

    def fit(rbm, examples):
        seen.append(np.asarray(examples))
        return rbm.init(jax.random.key(len(seen)))[0]

    v = RNG.random((7, 6)).astype("f")
    params = models.greedy(stack, jnp.asarray(v), fit)
    np.testing.assert_array_equal(seen[0], v)
    np.testing.assert_allclose(seen[1], sigmoid(v @ np.asarray(params[0]["kernel"])), rtol=1e-5)
    want = seen[1] @ np.asarray(params[1]["kernel"])  # the linear code
    np.testing.assert_allclose(models.mean_up(stack, params, jnp.asarray(v), batch=3), want, rtol=1e-5, atol=1e-6)


def test_a_stack_must_fit_together():
    with pytest.raises(ValueError, match="see the hidden units of the one below"):
        models.greedy([models.RBM(6, 4), models.RBM(5, 3)], jnp.zeros((2, 6)), lambda rbm, v: {})


def parameters(firm_up=1.0, firm_down=1.0):
    """A net 6-5-4 below the top, one way or both so firm that nothing is left to chance."""
    draw = lambda *shape: RNG.standard_normal(shape).astype("f")
    layer = lambda a, b, firm: {"kernel": jnp.asarray(firm * draw(a, b)), "bias": jnp.asarray(firm * draw(b))}
    return {
        "recognition": {"layer_0": layer(6, 5, firm_up), "layer_1": layer(5, 4, firm_up)},
        "generation": {"layer_0": layer(5, 6, firm_down), "layer_1": layer(4, 5, firm_down)},
        "top": {"kernel": jnp.asarray(FIRM * draw(6, 3)), "visible": FIRM * draw(6), "hidden": FIRM * draw(3)},
    }


def numbers(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def field(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def delta(layer, x, y):
    """The gradient of the cross-entropy of y given x, by the delta rule."""
    miss = sigmoid(field(layer, x)) - y
    return {"kernel": x.T @ miss / len(x), "bias": miss.mean(0)}


def gradients(params, batch):
    loss = models.up_down(TOP, steps=2)
    return jax.jit(jax.grad(lambda p: loss(p, {}, batch, jax.random.key(0))[0]))(params)


def batch_of(count=5):
    v = (RNG.random((count, 6)) < 0.5).astype("f")
    return {"v": jnp.asarray(v), "label": jnp.asarray(np.eye(2, dtype="f")[RNG.integers(0, 2, count)])}


def close(found, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, want)


def test_awake_the_weights_that_generate_follow_the_delta_rule():
    params, batch = parameters(firm_up=FIRM), batch_of()
    up, down = numbers(params["recognition"]), numbers(params["generation"])
    v = np.asarray(batch["v"], np.float64)
    h = (field(up["layer_0"], v) > 0) * 1.0
    features = (field(up["layer_1"], h) > 0) * 1.0
    want = {"layer_0": delta(down["layer_0"], h, v), "layer_1": delta(down["layer_1"], features, h)}
    close(gradients(params, batch)["generation"], want)


def test_asleep_the_weights_that_recognise_follow_the_delta_rule():
    params, batch = parameters(firm_up=FIRM, firm_down=FIRM), batch_of()
    up, down, top = (numbers(params[name]) for name in ("recognition", "generation", "top"))
    v = np.asarray(batch["v"], np.float64)
    features = (field(up["layer_1"], (field(up["layer_0"], v) > 0) * 1.0) > 0) * 1.0
    seen = np.concatenate([features, np.asarray(batch["label"])], 1)
    for _ in range(2):
        inputs = (seen @ top["kernel"] + top["hidden"] > 0) @ top["kernel"].T + top["visible"]
        seen = np.concatenate([inputs[:, :4] > 0, np.eye(2)[inputs[:, 4:].argmax(1)]], 1)
    h = (field(down["layer_1"], seen[:, :4]) > 0) * 1.0
    bottom = (field(down["layer_0"], h) > 0) * 1.0
    with np.errstate(over="ignore"):
        want = {"layer_0": delta(up["layer_0"], bottom, h), "layer_1": delta(up["layer_1"], h, seen[:, :4])}
    found = gradients(params, batch)["recognition"]
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(found)) > 0.1
    close(found, want)


def test_untied_weights_begin_as_those_of_the_stack():
    stack = models.rbm_stack(6, 5, 4)
    params = [rbm.init(jax.random.key(i))[0] for i, rbm in enumerate(stack)]
    untied = models.untied(params, TOP.init(jax.random.key(2))[0])
    v = jnp.asarray(RNG.random((3, 6)), "float32")
    np.testing.assert_allclose(models.recognised(untied, v), models.mean_up(stack, params, v), rtol=1e-6)
    for up, down in zip(untied["recognition"].values(), untied["generation"].values()):
        np.testing.assert_array_equal(up["kernel"], down["kernel"].T)
