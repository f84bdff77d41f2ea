"""Mixed precision: the type of every part, by path; in float32 it is not there, to the bit."""

import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import inspection, losses, nn, optim, train, tree
from fdl.checks import DtypeError, TreeError

KEY = jax.random.key(0)
MIXED = {"**/*_norm_*/*": "float32", "**": "bfloat16"}
BODY = nn.serial(nn.dense(6, 5), nn.batch_norm(5), nn.relu, nn.dropout(0.2))
BLOCKS = nn.repeat(nn.residual(nn.layer_norm(5), nn.dense(5, 5)), 2)
MODEL = nn.serial(body=BODY, blocks=BLOCKS, head=nn.dense(5, 3))
DRAW = np.random.default_rng(0)
BATCH = {"x": DRAW.standard_normal((8, 6)).astype(np.float32), "label": DRAW.integers(0, 3, 8, np.int32)}


def loss_of(model):
    def loss_fn(params, state, batch, key):
        y, state = model.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(y, batch["label"]).mean(), (state, {})

    return loss_fn


def trained(model, optimizer=None, steps=3, **how):
    optimizer = optimizer or optim.adam(1e-2)
    step = train.make_train_step(loss_of(model), optimizer, **how)
    state = train.init_state(model.init, optimizer)
    for _ in range(steps):
        state, log = step(state, BATCH)
    return state, log


def types(leaves):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(leaves)}


def seen_by(seen, name):
    """A part that writes down the types of its input and of its own parameter."""

    def apply(params, x):
        seen[name] = str(x.dtype), str(params["scale"].dtype)
        return (x * params["scale"]).astype(x.dtype)

    return nn.pure(lambda key: {"scale": jnp.ones(())}, apply)


def test_the_type_of_every_part():
    seen = {}
    parts = {name: seen_by(seen, name) for name in ("first", "norm", "last")}
    model = nn.mixed_precision(nn.serial(**parts), {"norm/*": "float32", "**": "float16"}, output="bfloat16")
    params, state = model.init(KEY)
    assert types(params) == {"float32"}
    y, vjp = jax.vjp(lambda params, x: model.apply(params, state, x)[0], params, jnp.ones(2))
    assert seen == {name: (dtype,) * 2 for name, dtype in zip(parts, ("float16", "float32", "float16"))}
    assert y.dtype == "bfloat16"
    assert types(vjp(y)) == {"float32"}


def test_the_types_of_a_run():
    model = nn.mixed_precision(MODEL, MIXED, params={"**/bias": "float32", "**": "bfloat16"})
    state, log = trained(model, optim.master_weights(optim.adam(1e-2)), microbatches=2)
    kept = tree.map_with_path(lambda path, leaf: str(leaf.dtype), state.params)
    assert kept["head"] == {"kernel": "bfloat16", "bias": "float32"}
    assert kept["blocks"]["layer_norm_0"] == {"scale": "bfloat16", "bias": "float32"}
    assert types(state.state) == types(state.opt_state.master) == types(log["loss"]) == {"float32"}
    grads = jax.grad(lambda params: loss_of(model)(params, state.state, BATCH, KEY)[0])(state.params)
    assert jax.tree.map(lambda leaf: str(leaf.dtype), grads) == kept


def test_in_float32_it_is_the_model_to_the_bit():
    model = nn.mixed_precision(MODEL, "float32")
    chex.assert_trees_all_equal(model.init(KEY), MODEL.init(KEY))
    for how in ({}, {"microbatches": 2}):
        (state, log), (plain, plain_log) = trained(model, **how), trained(MODEL, **how)
        assert tree.digest(state) == tree.digest(plain)
        assert log["loss"] == plain_log["loss"]


def test_one_type_is_the_cast_by_hand(agrees):
    params, state = MODEL.init(KEY)
    half = lambda leaves: tree.cast(leaves, "bfloat16")
    want, _ = MODEL.apply(half(params), state, half(BATCH["x"]))
    got, _ = nn.mixed_precision(MODEL).apply(params, state, BATCH["x"])
    assert (want.dtype, got.dtype) == ("bfloat16", "float32")
    agrees.values("nn.mixed_precision, one type", "cast by hand", got, want.astype("float32"))


def test_it_is_torchs_autocast(agrees):
    """Products in bfloat16, the norm in float32, gradients of float32 parameters: every rounding in its place.

    Uncompiled, since XLA leaves out roundings that it finds superfluous.
    """
    torch = pytest.importorskip("torch")
    arrays = [DRAW.standard_normal(shape).astype(np.float32) for shape in ((6, 5), (5,), (5,), (5, 3), (8, 6))]
    model = nn.serial(nn.dense(6, 5, use_bias=False), nn.layer_norm(5), nn.dense(5, 3, use_bias=False))
    mixed = nn.mixed_precision(model, {"layer_norm_0/*": "float32", "**": "bfloat16"})

    def ours(first, scale, bias, last, x):
        norm = {"scale": scale, "bias": bias}
        return mixed.apply({"dense_0": {"kernel": first}, "layer_norm_0": norm, "dense_1": {"kernel": last}}, {}, x)[0]

    first, scale, bias, last, x = theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    with torch.autocast("cpu", torch.bfloat16):
        want = torch.nn.functional.layer_norm((x @ first).float(), (5,), scale, bias) @ last
    want.float().square().sum().backward()
    got, pull = jax.vjp(ours, *arrays)
    wanted = [want.detach().float().numpy(), *(array.grad.numpy() for array in theirs)]
    agrees.values("nn.mixed_precision", "torch.autocast", [got, *pull(2 * got)], wanted)


def test_a_part_kept_wide_computes_in_float32():
    """What it finds is narrowed behind it, and 2**-12 is a bfloat16; 1 + 2**-12, on the way there, is none."""
    part = nn.pure(lambda key: {"scale": jnp.full((), 1 + 2.0**-12)}, lambda params, x: x * params["scale"] - 1)
    model, x = nn.serial(part=part), jnp.ones(3)
    wide = nn.mixed_precision(model, {"part/scale": "float32"})
    identity = nn.pure(lambda key: {"scale": jnp.ones(())}, lambda params, x: x * params["scale"])
    also = nn.mixed_precision(nn.serial(part=part, last=identity), {"part/*": "float32", "**": "bfloat16"})
    narrow = nn.mixed_precision(model)
    for mixed, want in ((wide, 2.0**-12), (also, 2.0**-12), (narrow, 0.0)):
        np.testing.assert_array_equal(mixed.apply(*mixed.init(KEY), x)[0], want)


def test_patterns_are_held_to_the_parameters():
    for name in ("compute", "params"):
        with pytest.raises(
            TreeError, match=r"pattern 'heads/\*' comes first for no leaf; the paths are 'blocks/dense_0"
        ):
            nn.mixed_precision(MODEL, **{name: {"heads/*": "float32", "**": "bfloat16"}})
        with pytest.raises(TreeError, match="no pattern matches 'blocks/dense_0/bias'"):
            nn.mixed_precision(MODEL, **{name: {"head/*": "float32"}})
        with pytest.raises(DtypeError, match="must be floating point, got int8"):
            nn.mixed_precision(MODEL, **{name: "int8"})
    with pytest.raises(DtypeError, match="must be floating point, got int32"):
        nn.mixed_precision(MODEL, output="int32")
    split = {"**/kernel": "bfloat16", "**": "float32"}
    with pytest.raises(
        TreeError, match="of dense at 'body/dense_0' compute in bfloat16 and float32; give its leaves one"
    ):
        nn.mixed_precision(MODEL, split)
    with pytest.raises(TreeError, match="of dense at '' compute in"):
        nn.mixed_precision(nn.dense(2, 3), split)


def test_frozen_parts_compute_in_their_types():
    model = nn.mixed_precision(MODEL, MIXED)
    frozen = nn.freeze(model, ["body/**", "blocks/layer_norm_0/*"])
    want, _ = model.apply(*model.init(KEY), BATCH["x"])
    np.testing.assert_array_equal(frozen.apply(*frozen.init(KEY), BATCH["x"])[0], want)
    state, _ = trained(frozen)
    assert types(state.state) == {"float32"}
    start, end = tree.flatten(train.init_state(frozen.init, optim.adam(1e-2)).state), tree.flatten(state.state)
    assert start.keys() == end.keys()
    moved = {path for path, leaf in start.items() if (end[path] != leaf).any()}
    assert moved == {"body/batch_norm_0/mean", "body/batch_norm_0/var"}


@jax.custom_vjp
def faint(x):
    """x, with a gradient 2**-24 of its own, as it is far from the loss."""
    return x


faint.defvjp(lambda x: (x, None), lambda _, g: (g * jnp.asarray(2.0**-12, g.dtype) * jnp.asarray(2.0**-12, g.dtype),))


def test_float16_trains_under_loss_scaling_and_not_without():
    """A gradient below the smallest float16: scaled, it is that of float32."""
    plain = nn.serial(nn.dense(6, 3, use_bias=False), faint)
    mixed, sgd = nn.mixed_precision(plain, "float16"), optim.sgd(2.0**28)
    start = train.init_state(plain.init, sgd).params["dense_0"]["kernel"]
    change = lambda *how: np.asarray(trained(*how, steps=1)[0].params["dense_0"]["kernel"] - start)
    want = change(plain, sgd)
    assert np.abs(want).max() > 0.1
    np.testing.assert_array_equal(change(mixed, sgd), 0)
    np.testing.assert_allclose(change(mixed, optim.scale_loss(sgd)), want, atol=0.01 * np.abs(want).max())


def test_scaled_losses_that_overflow_change_nothing_but_the_scale():
    model = nn.mixed_precision(MODEL, "float16")
    optimizer = optim.scale_loss(optim.adam(1e-2), 2.0**40)
    start = train.init_state(model.init, optimizer)
    state, _ = trained(model, optimizer, steps=1)
    assert tree.digest(state.params) == tree.digest(start.params)
    assert float(state.opt_state.scale) == 2.0**39


def test_it_is_a_layer_like_others():
    model = nn.mixed_precision(MODEL, MIXED, output="bfloat16")
    assert pickle.loads(pickle.dumps(model)) == model != nn.mixed_precision(MODEL, MIXED)
    assert str(model).endswith("{'**/*_norm_*/*': 'float32', '**': 'bfloat16'}, output='bfloat16')")
    wider = nn.rewire(model, "head", lambda part: nn.serial(nn.dense(5, 4), nn.dense(4, 3)))
    y, _ = wider.apply(*wider.init(KEY), BATCH["x"])
    assert (y.shape, y.dtype) == ((8, 3), "bfloat16")
    rows = inspection.summary(model, BATCH["x"]).rows  # looks inside, as into any model
    assert {row.path: str(row.output.dtype) for row in rows if "norm" in row.path} == {
        "body/batch_norm_0": "bfloat16",
        "blocks/layer_norm_0": "bfloat16",
    }
    with pytest.raises(ValueError, match=r"must have shape") as caught:
        model.apply(*model.init(KEY), jnp.ones((8, 7)))
    assert "body/dense_0: dense(in_dim=6, out_dim=5)" in caught.value.__notes__[0]
