"""Laws that every layer keeps.  A new layer is one line in its room's list, tests/laws/cases/."""

import importlib
import pickle
from functools import cache, partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from fdl import nn, tree
from fdl.checks import ShapeError
from fdl.nn.convolution.primitive import convolve

KEY = jax.random.key(0)


LAYERS = {
    name: case
    for room in sorted(p.stem for p in Path(__file__).parent.glob("cases/*.py"))
    for name, case in importlib.import_module(f"tests.laws.cases.{room}").CASES.items()
}

every_layer = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)


@cache
def made(case):
    return case.layer.init(KEY)


def batch_of(case, size=4, dtype=jnp.float32):
    if case.tokens:
        return jax.random.randint(KEY, (size, *case.shape), 0, case.tokens)
    return jax.random.normal(KEY, (size, *case.shape), dtype)


def forward(case, params, state, x, train=False):
    return case.layer.apply(params, state, x, key=KEY if train else None, train=train)


def assert_close(a, b, **tolerance):
    chex.assert_trees_all_close(a, b, **({"rtol": 2e-5, "atol": 2e-6} | tolerance))


@every_layer
@pytest.mark.parametrize("train", [False, True])
def test_the_same_call_gives_the_same_bits_and_jit_gives_the_same_values(case, train):
    params, state = made(case)
    one = forward(case, params, state, batch_of(case), train)
    chex.assert_trees_all_equal(one, forward(case, params, state, batch_of(case), train))
    assert_close(jax.jit(partial(forward, case, train=train))(params, state, batch_of(case)), one)


@every_layer
def test_shapes_are_known_without_computing_and_state_keeps_its_structure(case):
    describe = partial(jax.tree.map, lambda leaf: (leaf.shape, leaf.dtype))
    assert describe(jax.eval_shape(case.layer.init, KEY)) == describe(made(case))
    params, state = made(case)
    for train in (False, True):
        _, after = forward(case, params, state, batch_of(case), train)
        assert describe(after) == describe(state)
    _, after = forward(case, params, state, batch_of(case))
    chex.assert_trees_all_equal(after, state)


@every_layer
def test_trees_are_nested_dicts_of_arrays_without_empty_branches(case):
    for made_tree in made(case):
        assert tree.unflatten(tree.flatten(made_tree)).keys() == made_tree.keys()
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(made_tree))

        def walk(node):
            if isinstance(node, dict):
                for name, inner in node.items():
                    assert isinstance(name, str)
                    assert name
                    assert not isinstance(inner, dict) or inner
                    walk(inner)

        walk(made_tree)


@every_layer
def test_prints_compares_and_pickles_by_value(case):
    again = pickle.loads(pickle.dumps(case.layer))
    assert again == case.layer
    assert hash(again) == hash(case.layer)
    assert repr(again) == repr(case.layer)
    chex.assert_trees_all_equal(again.init(KEY), made(case))


@every_layer
def test_a_batch_is_its_examples_stacked_in_evaluation(case):
    params, state = made(case)
    x = batch_of(case)
    whole = forward(case, params, state, x)[0]
    alone = jnp.concatenate([forward(case, params, state, x[i : i + 1])[0] for i in range(len(x))])
    assert_close(whole, alone)


@every_layer
def test_vmap_adds_an_axis(case):
    params, state = made(case)
    x = jnp.stack([batch_of(case), 2 * batch_of(case) if not case.tokens else batch_of(case)])
    mapped = jax.vmap(lambda x: forward(case, params, state, x)[0])(x)
    assert_close(mapped, jnp.stack([forward(case, params, state, row)[0] for row in x]))


@every_layer
def test_vmap_over_parameters_is_an_ensemble(case):
    params, state = jax.vmap(case.layer.init)(jax.random.split(KEY, 2))
    x = batch_of(case)
    both = jax.vmap(lambda p, s: forward(case, p, s, x)[0], axis_size=2)(params, state)
    assert both.shape[0] == 2
    second = jax.tree.map(lambda leaf: leaf[1], (params, state))
    assert_close(both[1], forward(case, *second, x)[0])


def loss_of(case, params, state, x, train=True):
    y, _ = forward(case, params, state, x, train)
    weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    return jnp.sum(y * weights)


@every_layer
def test_gradients_are_those_of_finite_differences(case):
    with jax.enable_x64(True):
        params, state = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), made(case))
        x = batch_of(case, dtype=jnp.float64)
        free = {"params": params} if case.tokens else {"params": params, "x": x}

        def loss(free):
            return loss_of(case, free["params"], state, free.get("x", x))

        directions = jax.tree.map(lambda leaf: jnp.sin(jnp.arange(1.0, leaf.size + 1)).reshape(leaf.shape), free)
        step = 1e-6
        move = lambda t: jax.tree.map(lambda leaf, d: leaf + t * d, free, directions)
        slope = (loss(move(step)) - loss(move(-step))) / (2 * step)
        grads = jax.jit(jax.grad(loss))(free)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads))
        inner = sum(jnp.sum(g * d) for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(directions)))
        np.testing.assert_allclose(inner, slope, rtol=1e-5, atol=1e-7)


@every_layer
def test_runs_inside_scan_and_remat_with_gradients(case):
    params, state = made(case)
    x = batch_of(case)

    def total(params):
        def body(carried, _):
            y, carried = forward(case, params, carried, x, train=True)
            return carried, jnp.sum(y)

        return jnp.sum(jax.lax.scan(jax.checkpoint(body), state, None, length=2)[1])

    value, grads = jax.jit(jax.value_and_grad(total))(params)
    first, state = forward(case, params, state, x, train=True)
    second, _ = forward(case, params, state, x, train=True)
    assert_close(value, jnp.sum(first) + jnp.sum(second), rtol=1e-4, atol=1e-4)
    assert jax.tree.structure(grads) == jax.tree.structure(params)


@every_layer
def test_runs_inside_shard_map(case):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    params, state = made(case)
    split = jax.shard_map(
        lambda p, s, x: forward(case, p, s, x)[0],
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(), PartitionSpec("data")),
        out_specs=PartitionSpec("data"),
    )
    assert_close(jax.jit(split)(params, state, batch_of(case)), forward(case, params, state, batch_of(case))[0])


@every_layer
def test_sixteen_bits_in_sixteen_bits_out(case):
    params, state = made(case)
    x = batch_of(case, dtype=jnp.bfloat16)
    y, after = forward(case, tree.cast(params, jnp.bfloat16), state, x, train=True)
    assert y.dtype == jnp.bfloat16
    assert jax.tree.map(jnp.result_type, after) == jax.tree.map(jnp.result_type, state)
    wide, _ = forward(case, params, state, x if case.tokens else x.astype(jnp.float32), train=True)
    np.testing.assert_allclose(y.astype(jnp.float32), wide, rtol=0.1, atol=0.1)


@every_layer
def test_a_wrong_width_names_the_place(case):
    if not case.width_matters:
        return
    params, state = made(case)
    wrong = jnp.ones((4, *case.shape[:-1], case.shape[-1] + 1))
    with pytest.raises(ShapeError, match="must have shape") as caught:
        nn.serial(body=case.layer).apply({"body": params}, {"body": state} if state else {}, wrong)
    assert any(note.startswith("in body") for note in caught.value.__notes__)


@every_layer
def test_every_part_can_be_replaced(case):
    if not case.layer.parts:
        return
    seen = []

    def again(part):
        seen.append(part)
        return nn.Layer(part.init, part.apply, part.parts, part.is_pure)

    other = nn.rewire(case.layer, "**", again)
    params, state = made(case)
    chex.assert_trees_all_equal(other.init(KEY), (params, state))
    x = batch_of(case)
    chex.assert_trees_all_equal(forward(case, params, state, x), other.apply(params, state, x))
    assert len(seen) >= len(case.layer.parts)


@every_layer
def test_evaluation_is_the_default_and_needs_no_key_and_noise_in_training_does(case):
    params, state = made(case)
    case.layer.apply(params, state, batch_of(case))
    if case.noisy:
        with pytest.raises(ValueError, match="needs a key in training"):
            case.layer.apply(params, state, batch_of(case), train=True)
        one, other = (
            case.layer.apply(params, state, batch_of(case), key=k, train=True)[0] for k in jax.random.split(KEY)
        )
        assert not np.array_equal(one, other)


def test_every_layer_of_the_package_stands_in_the_list():
    kinds = {case.layer.call.kind for case in LAYERS.values()}
    constructors = {
        name
        for name in nn.__all__
        if getattr(getattr(nn, name), "__wrapped__", None) and _makes_a_layer(getattr(nn, name))
    }
    elsewhere = {"parameter", "rewire"}  # no input: tests/nn/linear/test_dense.py; every composite: in the law above
    assert constructors - kinds == elsewhere


def _makes_a_layer(constructor):
    return constructor.__wrapped__.__annotations__.get("return") is nn.Layer


def test_plain_convolution_is_the_default_for_no_layer():
    assert convolve.__kwdefaults__["plain"] is False
