"""Laws that every transform keeps: one list of optimizers, one test per law.  To add an optimizer, add a line."""

import functools
import importlib
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.compile import compile
from fdl.tree import nbytes, norm, widen
from tests.laws.transform_case import Case

PARAMS = {"dense": {"kernel": np.linspace(-1, 2, 6, dtype="f").reshape(3, 2), "bias": np.zeros(2, "f")}}
CURVATURE = {"dense": {"kernel": np.logspace(-1, 0.3, 6, dtype="f").reshape(3, 2), "bias": np.ones(2, "f")}}
SCALARS = 8


def then_sgd(*transforms):
    return optim.chain(*transforms, optim.sgd(0.1))


CASES = {
    "sgd": Case(optim.sgd(0.1), 0, 0, optim.sgd),
    "sgd, momentum": Case(optim.sgd(0.1, 0.9), 4, 1, lambda rate: optim.sgd(rate, 0.9)),
    "sgd, average": Case(optim.sgd(0.2, 0.9, average=True), 4, 1),
    "sgd, nesterov": Case(optim.sgd(0.1, 0.9, nesterov=True), 4, 1),
    "momentum": Case(optim.momentum(0.1), 4, 1, optim.momentum),
    "momentum, scheduled": Case(optim.momentum(optim.cosine(0.1, 400), optim.linear(0.5, 0.9, 100)), 4, 2),
    "nesterov": Case(optim.nesterov(0.1), 4, 1, optim.nesterov),
    "rprop": Case(optim.rprop(), 8, 0, optim.rprop),
    "rmsprop": Case(optim.rmsprop(optim.cosine(0.1, 400)), 4, 1, optim.rmsprop),
    "rmsprop, outside": Case(optim.rmsprop(optim.cosine(0.1, 400), eps_in_root=False), 4, 1),
    "rmsprop + momentum": Case(optim.rmsprop_momentum(optim.cosine(0.05, 400)), 8, 2, optim.rmsprop_momentum),
    "adagrad": Case(optim.adagrad(0.5), 4, 0, optim.adagrad),
    "adadelta": Case(optim.adadelta(20.0), 8, 0, optim.adadelta),
    "adam": Case(optim.adam(0.1), 8, 1, optim.adam),
    "adam, lecture": Case(optim.adam(0.1, eps_in_root=True), 8, 1),
    "adamw": Case(optim.adamw(0.1, weight_decay=1e-4), 8, 1, optim.adamw),
    "clip_by_value": Case(then_sgd(optim.clip_by_value()), 0, 0),
    "clip_by_norm": Case(then_sgd(optim.clip_by_norm(1.0)), 0, 0),
    "clip_by_global_norm": Case(then_sgd(optim.clip_by_global_norm(optim.linear(1.0, 5.0, 9))), 0, 1),
    "add_weight_decay": Case(then_sgd(optim.add_weight_decay(1e-4, where=["**/kernel", "**/bias"])), 0, 0),
    "project": Case(optim.chain(optim.sgd(0.1), optim.project(optim.max_norm(9.0))), 0, 0),
    "average_params": Case(optim.chain(optim.sgd(0.1), optim.average_params(0.9)), 4, 1),
    "only": Case(then_sgd(optim.only(optim.accumulate(0.5), "**/bias")), 1, 1),
}

for room in sorted(path.stem for path in Path(__file__).parent.glob("transforms/*.py")):
    CASES |= importlib.import_module(f"tests.laws.transforms.{room}").CASES

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
swept = [name for name, case in CASES.items() if case.by_rate]


def fresh(dtype=jnp.float32):
    return jax.tree.map(lambda p: jnp.array(p, dtype), PARAMS)


def problem(params):
    """The gradients of a quadratic, and the extras that the train step passes, with all that is optional."""
    wide = lambda p: widen(p) - 1
    of = lambda c, p: jnp.asarray(c, widen(p).dtype)
    rows = lambda params: jax.tree.map(lambda c, p: of(c, p) ** 0.5 * wide(p), CURVATURE, params)
    predict_fn = lambda params: jnp.concatenate([row.ravel() for row in jax.tree.leaves(rows(params))])
    output_loss_fn = lambda outputs: SCALARS * jnp.mean(0.5 * outputs**2)
    value_fn = lambda params: output_loss_fn(predict_fn(params))
    grads = jax.tree.map(lambda c, p: (of(c, p) * wide(p)).astype(p.dtype), CURVATURE, params)
    sizes = lambda layer: (layer["kernel"].shape[0] + ("bias" in layer), layer["kernel"].shape[1])
    factors_fn = lambda params: {name: tuple(map(jnp.eye, sizes(layer))) for name, layer in params.items()}
    extras = {"value_fn": value_fn, "predict_fn": predict_fn, "output_loss_fn": output_loss_fn}
    extras |= {"factors_fn": factors_fn}
    return grads, {"value": value_fn(params), "grad": grads, **extras}


def step(optimizer, params, state):
    grads, extras = problem(params)
    updates, state = optimizer.update(grads, state, params, **extras)
    return optim.apply_updates(params, updates), state


@functools.cache
def compiled(optimizer):
    """The jitted step, with both arguments donated."""
    return compile(functools.partial(step, optimizer), donate_argnums=(0, 1))


def run(optimizer, steps):
    params = fresh()
    carry = params, optimizer.init(params)
    for _ in range(steps):
        carry = compiled(optimizer)(*carry)
    return carry


def scan(optimizer, steps):
    params = fresh()
    body = lambda carry, _: (step(optimizer, *carry), None)
    return jax.lax.scan(body, (params, optimizer.init(params)), None, steps)[0]


def loss(params):
    parts = jax.tree.map(lambda c, p: float(np.sum(c * (np.asarray(p, "f") - 1) ** 2)), CURVATURE, params)
    return sum(jax.tree.leaves(parts))


def assert_close(found, wanted, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), found, wanted)


@every
def test_solves_a_quadratic(case):
    assert loss(run(case.optimizer, 400)[0]) < 1e-3 * loss(PARAMS)


@every
def test_compiles_once(case):
    run(case.optimizer, 3)
    assert compiled(case.optimizer).programs() == 1


@every
def test_gives_its_buffers_away(case):
    params = fresh()
    state = case.optimizer.init(params)
    jax.block_until_ready(compiled(case.optimizer)(params, state))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((params, state)))


@every
def test_state_restores_bit_for_bit(case):
    params, state = run(case.optimizer, 3)
    leaves, structure = jax.tree.flatten((params, state))
    saved = [np.array(leaf) for leaf in leaves]
    for _ in range(3):
        params, state = compiled(case.optimizer)(params, state)
    restored = jax.tree.unflatten(structure, [jnp.array(leaf) for leaf in saved])
    for _ in range(3):
        restored = compiled(case.optimizer)(*restored)
    jax.tree.map(np.testing.assert_array_equal, restored, (params, state))


@every
def test_jit_is_eager(case):
    with jax.enable_x64(True):  # searches and inner loops stop at the same step however sums are rounded
        params = fresh(jnp.float64)
        eager = jitted = params, case.optimizer.init(params)
        for _ in range(2):
            eager = step(case.optimizer, *eager)
            jitted = jax.jit(functools.partial(step, case.optimizer))(*jitted)
    assert_close(eager, jitted, rtol=1e-6, atol=1e-9)


@every
def test_scans(case):
    found = jax.jit(lambda: scan(case.optimizer, 5))()
    assert_close(found, run(case.optimizer, 5), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("name", swept)
def test_maps_over_rates(name):
    follow = lambda rate: scan(CASES[name].by_rate(rate), 3)[0]
    rates = np.asarray([0.01, 0.1], "f")
    swept, alone = jax.device_get(jax.jit(jax.vmap(follow))(rates)), jax.jit(follow)
    for i, rate in enumerate(rates):
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], swept), alone(rate), rtol=2e-5, atol=1e-6)


@every
def test_is_a_value(case):
    again = eval(repr(case.optimizer), vars(optim) | {"norm": norm})
    assert again == case.optimizer
    assert hash(again) == hash(case.optimizer)
    assert pickle.loads(pickle.dumps(case.optimizer)) == case.optimizer
    assert [other.optimizer for other in CASES.values()].count(case.optimizer) == 1


@every
def test_keeps_the_types_of_the_parameters(case):
    params = fresh(jnp.bfloat16)
    state = case.optimizer.init(params)
    new_params, new_state = step(case.optimizer, params, state)
    kinds = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)
    assert kinds(new_params) == kinds(params)
    assert kinds(new_state) == kinds(state)
    assert loss(step(case.optimizer, new_params, new_state)[0]) < loss(PARAMS)


@every
def test_state_has_the_size_that_is_documented(case):
    for dtype in (jnp.float32, jnp.bfloat16):
        size = nbytes(jax.eval_shape(case.optimizer.init, fresh(dtype)))
        assert size == case.per_parameter * SCALARS + 4 * case.counters


@every
def test_runs_inside_an_optax_chain(case):
    optax = pytest.importorskip("optax")
    params = fresh()
    grads, extras = problem(params)
    # optax passes extras only to transforms that say so by their class.
    inside = optax.GradientTransformationExtraArgs(*case.optimizer) if case.needs_loss else case.optimizer
    theirs = optax.chain(inside, optax.scale(0.5))
    found, _ = theirs.update(grads, theirs.init(params), params, **extras)
    alone, _ = case.optimizer.update(grads, case.optimizer.init(params), params, **extras)
    assert_close(found, jax.tree.map(lambda u: 0.5 * u, alone), rtol=1e-6)


@every
def test_runs_around_an_optax_transform(case):
    optax = pytest.importorskip("optax")
    params = fresh()
    grads, extras = problem(params)
    around = optim.chain(optax.scale(2.0), case.optimizer, optax.identity())
    found, _ = around.update(grads, around.init(params), params, **extras)
    doubled = jax.tree.map(lambda g: 2 * g, grads)
    alone, _ = case.optimizer.update(doubled, case.optimizer.init(params), params, **extras)
    assert_close(found, alone, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.needs_loss])
def test_says_that_it_needs_the_loss(name):
    params = fresh()
    with pytest.raises(TypeError, match="needs the parameters and the loss"):
        CASES[name].optimizer.update(params, CASES[name].optimizer.init(params), params)
