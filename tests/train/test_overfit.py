"""What can learn one batch does; what cannot says so, with what did not move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, nn, optim, train, tree

RNG = np.random.default_rng(0)
EXAMPLES = {"x": RNG.standard_normal((32, 5)).astype("f"), "label": RNG.integers(0, 3, 32).astype(np.int32)}
BATCHES = data.shuffled(EXAMPLES, batch=16)
MODEL = nn.serial(nn.dense(5, 32), nn.relu, head=nn.dense(32, 3))


def start(loss_of=lambda logits, batch: losses.cross_entropy(logits, batch["label"]).mean(), detach=False):
    optimizer = optim.adam(3e-2)

    def loss_fn(params, state, batch, key):
        body = jax.lax.stop_gradient(params["dense_0"]) if detach else params["dense_0"]
        logits, state = MODEL.apply(params | {"dense_0": body}, state, batch["x"])
        return loss_of(logits, batch), (state, {})

    return train.make_train_step(loss_fn, optimizer), train.init_state(MODEL.init, optimizer)


def test_random_labels_of_one_batch_are_learnt_by_heart():
    step, state = start()
    before = tree.digest(state)
    found = train.overfit_batch(step, state, BATCHES)
    assert found.losses.shape == (200,)
    assert found.losses[-1] < 0.1 * found.losses[0]
    assert found.unmoved == ()
    assert tree.digest(state) == before  # it was a copy
    # By hand: the same batch at every step.
    _, log = train.run(step, state, lambda k: BATCHES(0), 200)
    np.testing.assert_array_equal(found.losses, log["loss"])


def test_labels_that_change_are_not_learnt_and_parameters_that_do_not_move_are_named():
    coin = lambda logits, batch: losses.cross_entropy(logits, jnp.zeros_like(batch["label"])).mean() + 3.0
    step, state = start(coin, detach=True)
    with pytest.raises(
        train.OverfitError, match=r"not learnt by heart: the loss went from 3\.8\d+ to 3\.0\d* in 50"
    ) as e:
        train.overfit_batch(step, state, BATCHES, 50)
    assert "never moved: dense_0/bias, dense_0/kernel. Look at the labels" in str(e.value)
    assert e.value.found.unmoved == ("dense_0/bias", "dense_0/kernel")
    assert train.overfit_batch(step, state, BATCHES, below=3.2).losses[-1] < 3.2


def test_bad_input_is_refused():
    step, state = start(lambda logits, batch: -jnp.square(logits).mean())
    with pytest.raises(ValueError, match=r"begins at -.*: say what it must come below"):
        train.overfit_batch(step, state, BATCHES, 2)
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        train.overfit_batch(step, state, BATCHES, 1)
    step, state = start(lambda logits, batch: logits.mean() * jnp.nan)
    with pytest.raises(train.NonFiniteError):
        train.overfit_batch(step, state, BATCHES)
