"""The range test on what is known: a parabola, where the loss falls up to a rate of 2 / curvature and breaks beyond."""

import io

import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, nn, optim, train, tree
from fdl.checks import TreeError

CURVATURE = 8.0
BATCHES = data.shuffled({"x": np.zeros((4, 1), np.float32)}, batch=4)


def parabola(optimizer, scale=1.0):
    """The loss scale · curvature · x² / 2, from x = 1."""

    def loss_fn(params, state, batch, key):
        return scale * 0.5 * CURVATURE * params["x"] ** 2, (state, {})

    init = lambda key: ({"x": jnp.ones(())}, {})
    return train.make_train_step(loss_fn, optimizer), train.init_state(init, optimizer)


def sgd():
    return optim.hyper(optim.sgd(1.0), "learning_rate")


def test_rates_and_losses_are_those_of_the_recursion():
    step, state = parabola(sgd())
    before = tree.digest(state)
    found = train.range_test(step, state, BATCHES, low=1e-4, high=1.0, steps=60)
    rates = 1e-4 * 1e4 ** (np.arange(60) / 59)
    x = np.cumprod([1.0, *(1 - rates * CURVATURE)])[:-1]
    count = len(found.rates)
    np.testing.assert_allclose(found.rates, rates[:count], rtol=1e-5)
    np.testing.assert_allclose(found.losses, (0.5 * CURVATURE * x**2)[:count], rtol=2e-3)
    assert found.suggestion < 2 / CURVATURE < found.rates[-1]
    assert 0.6 * 2 / CURVATURE < found.lowest < 1.6 * 2 / CURVATURE
    assert tree.digest(state) == before  # it was a copy


def test_a_loss_four_times_as_large_wants_a_quarter_of_the_rate_of_sgd_and_the_same_of_adam():
    for make, factor in ((sgd, 4.0), (lambda: optim.hyper(optim.adam(1.0, eps=0.0), "learning_rate"), 1.0)):
        one = train.range_test(*parabola(make()), BATCHES, low=2.0**-12, high=1.0)
        other = train.range_test(*parabola(make(), 4.0), BATCHES, low=2.0**-12 / factor, high=1.0 / factor)
        np.testing.assert_allclose(other.losses, 4 * one.losses, rtol=1e-4)
        assert other.suggestion * factor == pytest.approx(one.suggestion, rel=1e-5)
        assert other.lowest * factor == pytest.approx(one.lowest, rel=1e-5)


def test_a_network_trained_at_the_suggestion_learns_and_at_a_thousand_times_breaks():
    digits = data.digits().train
    model = nn.serial(nn.flatten, nn.dense(64, 32), nn.relu, nn.dense(32, 10))

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"] / 16)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    batches = data.shuffled(digits, batch=32)

    @optim.hyper
    def optimizer(peak=0.1):
        return optim.momentum(optim.warmup_cosine(peak, 200, 20))

    steady = optim.hyper(optim.momentum(0.1), "learning_rate")
    test = train.range_test(train.make_train_step(loss_fn, steady), train.init_state(model.init, steady), batches)
    step, start = train.make_train_step(loss_fn, optimizer), lambda: train.init_state(model.init, optimizer)
    _, log = train.run(step, optim.set_hyper(start(), peak=test.suggestion), batches, 200)
    assert log["loss"][-20:].mean() < 0.35
    _, log = train.run(train.skipping(step), optim.set_hyper(start(), peak=1000 * test.suggestion), batches, 200)
    assert not log["loss"][-20:].mean() < 2
    pytest.importorskip("matplotlib")
    axes = train.draw_range_test(test)
    axes.figure.savefig(io.BytesIO())
    assert axes.get_legend_handles_labels()[1][2] == f"suggestion {test.suggestion:.2g}"


def test_bad_input_is_refused():
    step, state = parabola(sgd())
    with pytest.raises(ValueError, match=r"the loss never fell: 4 at a rate of 0\.2"):
        train.range_test(step, state, BATCHES, low=0.26, high=0.3)
    with pytest.warns(UserWarning, match=r"still falls at a rate of 0\.01: go higher"):
        train.range_test(step, state, BATCHES, high=0.01)
    with pytest.raises(ValueError, match="0 < low < high and 10 or more steps"):
        train.range_test(step, state, BATCHES, low=1.0, high=0.1)
    with pytest.raises(TreeError, match="holds no 'rate'; it holds learning_rate"):
        train.range_test(step, state, BATCHES, name="rate")
