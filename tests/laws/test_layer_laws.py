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
from fdl.checks import DtypeError, ShapeError
from fdl.nn.convolution.primitive import convolve
from fdl.nn.rewire import parts_of

KEY = jax.random.key(0)
LAYERS = {
    name: case
    for room in sorted(p.stem for p in Path(__file__).parent.glob("cases/*.py"))
    for name, case in importlib.import_module(f"tests.laws.cases.{room}").CASES.items()
}

every_layer = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
every_type = pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])


@cache
def made(case):
    with jax.enable_x64(False):  # whoever asks first
        return jax.jit(case.layer.init)(KEY)


def ensemble(case):
    """Parameters and states of two, along a leading axis, in the shapes in which vmap draws them."""
    two = jax.tree.map(lambda leaf: np.stack([leaf, (1.5 * leaf).astype(leaf.dtype)]), jax.device_get(made(case)))
    drawn = jax.eval_shape(jax.vmap(case.layer.init), jax.random.split(KEY, 2))
    chex.assert_trees_all_equal_shapes_and_dtypes(drawn, two)
    return two


@cache
def prepared(case, dtype):
    """(params, state, x) in this type, as a step of mixed precision casts them: the state stays as it is."""
    params, state = made(case)
    return cast(params, dtype), state, batch_of(case, dtype=dtype)


def batch_of(case, size=4, dtype=jnp.float32):
    draw, shape = np.random.default_rng(0), (size, *case.shape)
    if case.tokens:
        return jnp.asarray(draw.integers(0, case.tokens, shape, np.int32))
    return jnp.asarray(draw.standard_normal(shape).astype(dtype))


def cast(arrays, dtype):
    """The floating-point leaves as dtype, by NumPy: no program to compile for every shape."""
    return jax.device_put(tree.cast(jax.device_get(arrays), dtype))


def forward(case, params, state, x, train=False):
    return case.layer.apply(params, state, x, key=KEY if train else None, train=train)


@cache
def compiled(case, train=False):
    return jax.jit(partial(forward, case, train=train))


def assert_close(a, b, dtype=jnp.float32, **tolerance):
    assert jax.tree.map(jnp.result_type, a) == jax.tree.map(jnp.result_type, b)
    a, b = tree.cast(jax.device_get((a, b)), np.float32)
    usual = {"rtol": 2e-5, "atol": 2e-6} if dtype == jnp.float32 else {"rtol": 0.1, "atol": 0.1}
    chex.assert_trees_all_close(a, b, **(usual | tolerance))


@every_layer
@every_type
@pytest.mark.parametrize("train", [False, True])
def test_the_same_call_gives_the_same_bits(case, dtype, train):
    run = compiled(case, train)
    chex.assert_trees_all_equal(run(*prepared(case, dtype)), run(*prepared(case, dtype)))


@every_layer
def test_compiled_and_uncompiled_values_are_the_same(case):
    args = prepared(case, jnp.float32)
    assert_close(compiled(case, True)(*args), forward(case, *args, train=True))


@every_layer
@every_type
def test_shapes_are_known_without_computing_and_state_keeps_its_structure(case, dtype):
    describe = partial(jax.tree.map, lambda leaf: (leaf.shape, leaf.dtype))
    assert describe(jax.eval_shape(case.layer.init, KEY)) == describe(made(case))
    params, state, x = prepared(case, dtype)
    for train in (False, True):
        y, after = compiled(case, train)(params, state, x)
        assert describe(after) == describe(state)
        assert describe(y) == describe(jax.eval_shape(partial(forward, case, train=train), params, state, x)[0])
        assert y.dtype == dtype
    _, after = compiled(case)(params, state, x)
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
    chex.assert_trees_all_equal(jax.eval_shape(again.init, KEY), jax.eval_shape(case.layer.init, KEY))


@every_layer
@every_type
def test_a_batch_is_its_examples_stacked_in_evaluation(case, dtype):
    params, state, x = prepared(case, dtype)
    alone = np.concatenate([compiled(case)(params, state, row[None])[0] for row in np.asarray(x)])
    assert_close(compiled(case)(params, state, x)[0], alone, dtype)


@every_layer
@every_type
def test_vmap_adds_an_axis(case, dtype):
    params, state, x = prepared(case, dtype)
    x = np.stack([x, x if case.tokens else -np.asarray(x)])
    mapped = jax.jit(jax.vmap(lambda x: forward(case, params, state, x)[0]))(x)
    assert_close(mapped, np.stack([compiled(case)(params, state, row)[0] for row in x]), dtype)


@every_layer
@every_type
def test_vmap_over_parameters_is_an_ensemble(case, dtype):
    params, state = ensemble(case)
    params, x = cast(params, dtype), batch_of(case, dtype=dtype)
    both = jax.jit(jax.vmap(lambda p, s: forward(case, p, s, x)[0], axis_size=2))(params, state)
    assert both.shape[0] == 2
    second = jax.tree.map(lambda leaf: np.asarray(leaf)[1], (params, state))
    assert_close(both[1], compiled(case)(*second, x)[0], dtype)


def loss_of(case, params, state, x, train=True):
    y, _ = forward(case, params, state, x, train)
    weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    return jnp.sum(y * weights)


@cache
def loss_and_gradient(case):
    """As two programs of {"params", "x"}, to be called with 64-bit types enabled; tokens have no gradient."""

    def loss(free, fixed):
        given = free | fixed
        return loss_of(case, given["params"], wide(made(case)[1]), given["x"])

    return jax.jit(loss), jax.jit(jax.grad(loss))


def wide(arrays):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), arrays)


def free_and_fixed(case):
    """What has a gradient and what has none, in 64 bits."""
    params, x = wide(made(case)[0]), {"x": np.asarray(batch_of(case, dtype=jnp.float64))}
    return ({"params": params}, x) if case.tokens else ({"params": params} | x, {})


@every_layer
def test_gradients_are_those_of_finite_differences(case):
    with jax.enable_x64(True):
        free, fixed = free_and_fixed(case)
        directions = jax.tree.map(lambda leaf: np.sin(np.arange(1.0, leaf.size + 1)).reshape(leaf.shape), free)
        step = 1e-6
        move = lambda t: jax.tree.map(lambda leaf, d: np.asarray(leaf) + t * d, free, directions)
        value, gradient = loss_and_gradient(case)
        slope = (value(move(step), fixed) - value(move(-step), fixed)) / (2 * step)
        grads = jax.tree.map(np.asarray, gradient(free, fixed))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
        inner = sum(np.sum(g * d) for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(directions)))
        np.testing.assert_allclose(inner, slope, rtol=1e-5, atol=1e-7)


# Where roots, norms and variances are 0, where exponentials overflow, where numbers are nearly none.
BAD = {"0": lambda x: 0 * x, "1": lambda x: 0 * x + 1, "1e3": lambda x: 1e3 * x, "1e-100": lambda x: 1e-100 * x}


@every_layer
@pytest.mark.parametrize("point", BAD.values(), ids=BAD)
def test_gradients_at_bad_points_are_finite(case, point):
    """The input, or any one of the parameters, is there."""
    with jax.enable_x64(True):
        free, fixed = free_and_fixed(case)
        flat = tree.flatten(free)
        for path in flat:
            place = {"params": {}} | tree.unflatten(flat | {path: point(flat[path])})
            grads = loss_and_gradient(case)[1](place, fixed)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads)), path


@every_layer
@every_type
def test_runs_inside_scan_and_remat_with_gradients(case, dtype):
    params, state, x = prepared(case, dtype)

    def total(params):
        def body(carried, _):
            y, carried = forward(case, params, carried, x, train=True)
            return carried, jnp.sum(y.astype(jnp.float32))

        return jnp.sum(jax.lax.scan(jax.checkpoint(body), state, None, length=2)[1])

    value, grads = jax.jit(jax.value_and_grad(total))(params)
    first, state = compiled(case, True)(params, state, x)
    second, _ = compiled(case, True)(params, state, x)
    first, second = np.asarray(first, "f"), np.asarray(second, "f")
    size, want = np.sum(np.abs(first)), np.sum(first) + np.sum(second)
    assert abs(value - want) <= (1e-5 if dtype == jnp.float32 else 0.05) * (size + 1)
    assert jax.tree.map(jnp.result_type, grads) == jax.tree.map(jnp.result_type, params)
    assert all(np.isfinite(np.asarray(leaf, "f")).all() for leaf in jax.tree.leaves(grads))


@every_layer
@every_type
def test_runs_inside_shard_map(case, dtype):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(
        lambda p, s, x: forward(case, p, s, x)[0],
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(), PartitionSpec("data")),
        out_specs=PartitionSpec("data"),
    )
    args = prepared(case, dtype)
    assert_close(jax.jit(split)(*args), compiled(case)(*args)[0], dtype)


@every_layer
def test_sixteen_bits_give_the_rounded_values_of_thirty_two(case):
    params, state, x = prepared(case, jnp.bfloat16)
    y, _ = compiled(case, True)(params, state, x)
    wide = cast((params, x), np.float32)
    np.testing.assert_allclose(np.asarray(y, "f"), compiled(case, True)(wide[0], state, wide[1])[0], rtol=0.1, atol=0.1)


@every_layer
def test_bytes_are_refused_or_left_as_they_are_and_never_computed_with(case):
    """With integers of 8 bits arithmetic wraps around without a word.  Users promote, so that mixing is no error."""
    if case.tokens:
        return
    params, state = made(case)
    x = np.random.default_rng(0).integers(100, 256, (4, *case.shape), np.uint8)
    with jax.numpy_dtype_promotion("standard"):
        try:
            like = jax.eval_shape(partial(forward, case), params, state, x)[0]
        except DtypeError:
            return
        if not jnp.issubdtype(like.dtype, jnp.floating):
            assert set(np.unique(forward(case, params, state, x)[0])) <= {0, *np.unique(x)}


@every_layer
def test_a_wrong_width_names_the_place(case):
    if not case.width_matters:
        return
    params, state = made(case)
    wrong = np.ones((4, *case.shape[:-1], case.shape[-1] + 1), "f")
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
    chex.assert_trees_all_equal(jax.jit(other.init)(KEY), (params, state))
    x = batch_of(case)
    chex.assert_trees_all_equal(compiled(case)(params, state, x), jax.jit(other.apply)(params, state, x))
    assert len(seen) >= len(case.layer.parts)


@every_layer
def test_evaluation_is_the_default_and_needs_no_key_and_noise_in_training_does(case):
    params, state = made(case)
    jax.eval_shape(case.layer.apply, params, state, batch_of(case))
    if case.noisy:
        with pytest.raises(ValueError, match="needs a key in training"):
            case.layer.apply(params, state, batch_of(case), train=True)
        draw = jax.jit(lambda key: case.layer.apply(params, state, batch_of(case), key=key, train=True)[0])
        one, other = map(draw, jax.random.split(KEY))
        assert not np.array_equal(one, other)


def test_every_layer_of_the_package_stands_in_the_list():
    cases = [part for case in LAYERS.values() for part in (case.layer, *parts_of(case.layer).values())]
    kinds = {part.call.kind for part in cases if part.call}
    constructors = {
        name
        for name in nn.__all__
        if getattr(getattr(nn, name), "__wrapped__", None) and _makes_a_layer(getattr(nn, name))
    }
    # Takes no input; a law above; evaluation moves its state; returns the type that it was asked for.
    elsewhere = {"parameter", "rewire", "cached", "mixed_precision"}
    assert constructors - kinds == elsewhere


def _makes_a_layer(constructor):
    return constructor.__wrapped__.__annotations__.get("return") is nn.Layer


def test_plain_convolution_is_the_default_for_no_layer():
    assert convolve.__kwdefaults__["plain"] is False
