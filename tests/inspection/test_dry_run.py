"""A step seen before it is made: its types are those of the step, its memory is near that of the compiled one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, inspection, losses, nn, optim, train, tree
from fdl.checks import ShapeError, TreeError

RNG = np.random.default_rng(0)
EXAMPLES = {"image": RNG.integers(0, 255, (32, 8, 8, 1)).astype(np.uint8), "label": np.zeros(32, np.int64)}
BATCHES = data.shuffled(EXAMPLES, batch=16)
OPTIMIZER = optim.adam(1e-3)


def step_of(model):
    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"].astype("f") / 255, key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {"largest": jnp.abs(logits).max()})

    return train.make_train_step(loss_fn, OPTIMIZER)


def types_of(model):
    return jax.eval_shape(lambda: train.init_state(model.init, OPTIMIZER))


SMALL = nn.serial(nn.conv(1, 8, 3), nn.batch_norm(8), nn.relu, nn.flatten, nn.dropout(0.1), nn.dense(512, 10))


def test_types_and_sizes_are_those_of_the_step():
    step, state = step_of(SMALL), train.init_state(SMALL.init, OPTIMIZER)
    found = inspection.dry_run(step, types_of(SMALL), BATCHES)
    assert (
        str(found)
        == str(inspection.dry_run(step, state, BATCHES))
        == str(inspection.dry_run(step, state, BATCHES.__call__))
    )
    lines = str(found).splitlines()
    assert "\n".join(lines[: lines.index("")]) == tree.table(state.params)
    assert lines[-5] == "batch   image uint8[16,8,8,1], label int32[16]  (1,088 bytes)"
    assert lines[-4] == "metrics largest float32[], loss float32[]"
    assert lines[-3] == "state   20,904 bytes of parameters, 64 carried, 41,812 of the optimizer"
    kind = lambda leaf: (leaf.shape, leaf.dtype)
    after, metrics = step(state, BATCHES(0))
    assert jax.tree.map(kind, found.state) == jax.tree.map(kind, after)
    assert {name: kind(one) for name, one in found.metrics.items()} == {n: kind(m) for n, m in metrics.items()}
    assert found.flops.total == inspection.flops(step.pure, after, BATCHES(0)).total


def test_a_model_that_no_machine_holds_is_seen_too():
    wide = nn.serial(nn.flatten, nn.dense(64, 10**9), nn.relu, nn.dense(10**9, 10))
    found = inspection.dry_run(step_of(wide), types_of(wide), BATCHES)
    params = 4 * (64 * 10**9 + 10**9 + 10**10 + 10)
    assert tree.nbytes(found.state.params) == params
    assert found.peak_bytes > 3 * params + 2 * 4 * 16 * 10**9


@pytest.mark.parametrize("model", [SMALL, nn.serial(nn.flatten, nn.dense(64, 512), nn.tanh, nn.dense(512, 10))])
def test_memory_is_near_that_of_the_compiled_step(model):
    step, state = step_of(model), types_of(model)
    compiled = jax.jit(step.pure, donate_argnums=0).lower(state, jax.eval_shape(lambda b: b, BATCHES(0))).compile()
    took = compiled.memory_analysis()
    taken = took.temp_size_in_bytes + took.argument_size_in_bytes + took.output_size_in_bytes - took.alias_size_in_bytes
    assert 0.8 * taken < inspection.dry_run(step, state, BATCHES).peak_bytes < 3 * taken


def test_peak_bytes_by_hand():
    x = jax.ShapeDtypeStruct((1000,), "float32")
    assert inspection.peak_bytes(lambda x: jnp.sum(x * 2), x) == 8000
    assert inspection.peak_bytes(lambda x: x * 2 + x, x) == 12000  # x is needed twice
    assert inspection.peak_bytes(lambda x: (x * 2) * 3, x) == 8000  # it is not
    assert inspection.peak_bytes(jax.jit(lambda x: jnp.sin(jnp.cos(x) + 1)), x) == 4000 + 8000
    grown = lambda x: jax.lax.scan(lambda carried, _: (carried * 2, carried + 1), x, length=10)[1]
    assert inspection.peak_bytes(grown, x) == 4000 + 4000 + 40000
    either = lambda x: jax.lax.cond(x[0] > 0, lambda x: x, lambda x: jnp.outer(x, x).sum(0), x)
    assert inspection.peak_bytes(either, x) > 4 * 10**6


def test_mistakes_are_told_with_their_place():
    wrong = nn.serial(nn.flatten, head=nn.dense(65, 10))
    with pytest.raises(ShapeError, match=r"must have shape \(..., 65\), got \(16, 64\)") as caught:
        inspection.dry_run(step_of(wrong), types_of(wrong), BATCHES)
    assert "in head: dense(in_dim=65, out_dim=10)" in caught.value.__notes__[0]
    state = types_of(SMALL)
    cast = train.Step(lambda state, batch: (state._replace(params=tree.cast(state.params, jnp.bfloat16)), {}))
    with pytest.raises(
        TreeError, match=r"after a step do not fit the state before it:\n  params/batch_norm_0/bias: expected f"
    ):
        inspection.dry_run(cast, state, BATCHES)
