"""One train step serves every optimizer, from plain gradients to those that take the loss many times per update."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, nn, optim, train

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((48, 5)).astype("f")
EXAMPLES = {"x": IMAGES, "label": (IMAGES @ np.array([1.0, -2, 0, 1, 1], "f") > 0).astype(np.int32)}
MODEL = nn.serial(nn.batch_norm(5), nn.dense(5, 2))

OPTIMIZERS = {
    "adam": optim.adam(0.1),
    "sgd, backtracking": optim.chain(optim.sgd(1.0), optim.scale_by_backtracking_line_search()),
    "lbfgs": optim.lbfgs(5),
    "bfgs": optim.bfgs(),
    "nonlinear cg": optim.nonlinear_conjugate_gradient(),
    "nonlinear cg, three per batch": optim.nonlinear_conjugate_gradient(line_searches=3),
    "newton_cg": optim.newton_cg(20),
    "hessian_free": optim.hessian_free(max_steps=20),
    "proximal_gradient": optim.proximal_gradient(0.3, optim.soft_threshold(1e-3)),
}


def predict(params, state, batch, key):
    logits, state = MODEL.apply(params, state, batch["x"], key=key, train=True)
    return logits, (state, {"correct": jnp.mean((jnp.argmax(logits, -1) == batch["label"]).astype(jnp.float32))})


def cost(logits, batch):
    return losses.cross_entropy(logits, batch["label"]).mean()


def loss_fn(params, state, batch, key):
    logits, rest = predict(params, state, batch, key)
    return cost(logits, batch), rest


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_step_serves_every_optimizer(name):
    optimizer, steps = OPTIMIZERS[name], 12
    step = train.make_train_step(loss_fn, optimizer)
    state = train.init_state(MODEL.init, optimizer, seed=0)
    mean = np.asarray(state.state["batch_norm_0"]["mean"])
    before = jax.tree.map(lambda a: (a.shape, a.dtype), state)
    found = []
    for _ in range(steps):
        state, metrics = step(state, EXAMPLES)
        found.append(metrics)
    assert set(found[0]) == {"loss", "correct"}
    assert found[-1]["loss"] < 0.7 * found[0]["loss"]
    assert found[-1]["correct"] > found[0]["correct"]
    assert np.abs(state.state["batch_norm_0"]["mean"] - mean).max() > 0
    assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == before

    # Many steps in one dispatch: the whole set is every batch, in an order of its own.
    again = train.init_state(MODEL.init, optimizer, seed=0)
    many = train.make_train_step(loss_fn, optimizer)
    again, log = train.run(many, again, data.shuffled(EXAMPLES, batch=48), steps)
    np.testing.assert_allclose(log["loss"][:3], [row["loss"] for row in found[:3]], rtol=1e-4)
    assert log["loss"][-1] < 0.7 * log["loss"][0]
    assert many._many.programs() == step._one.programs() == 1


def test_a_loss_in_two_parts_trains_like_the_whole_and_shows_its_parts():
    parts = train.TwoPartLoss(predict, cost)
    seen = {}

    def update(updates, state, params=None, **extras):
        seen.update({name: extras[name] for name in ("predict_fn", "output_loss_fn") if name in extras})
        whole = extras["output_loss_fn"](extras["predict_fn"](params)) if seen else extras["value"]
        return updates, (extras["value"], whole)

    spy = optim.Transform(lambda params: (jnp.zeros(()), jnp.zeros(())), update)
    optimizer = optim.chain(spy, optim.sgd(0.5))
    ends = []
    for loss in (parts, loss_fn):
        step, state = train.make_train_step(loss, optimizer), train.init_state(MODEL.init, optimizer, seed=0)
        seen.clear()
        state, metrics = step(state, EXAMPLES)
        value, whole = state.opt_state[0]
        np.testing.assert_allclose(value, whole, rtol=1e-6)
        assert bool(seen) == (loss is parts)
        ends.append((state.params, metrics))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *ends)

    free = optim.hessian_free(damping=0.1, max_steps=20)
    step, state = train.make_train_step(parts, free), train.init_state(MODEL.init, free, seed=0)
    found = []
    for _ in range(10):
        state, metrics = step(state, EXAMPLES)
        found.append(float(metrics["loss"]))
    assert found[-1] < 0.2 * found[0]
