"""Checkpoints: whole, checked, never half."""

import json
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from fdl import nn, optim, train, tree
from fdl.checks import TreeError
from fdl.train import checkpoint

MODEL = nn.serial(nn.dense(3, 4), nn.batch_norm(4), nn.dense(4, 2))


def make(step=7, model=MODEL, optimizer=None):
    state = train.init_state(model.init, optimizer or optim.adam(1e-3), seed=0)
    return state._replace(step=jnp.asarray(step, jnp.int32), params=jax.tree.map(lambda p: p + step, state.params))


def test_all_of_the_state_comes_back_bit_for_bit(tmp_path):
    state = make()
    mixed = state._replace(
        state={"half": jnp.ones(3, jnp.bfloat16), "scalar": jnp.asarray(2.5), "none": jnp.zeros((0, 2))}
    )
    path = checkpoint.save(tmp_path, mixed, metadata={"history": [{"loss": 0.5, "table": np.eye(2)}]})
    assert path.name == "step_00000007"
    again, metadata = checkpoint.restore(tmp_path, jax.eval_shape(lambda: mixed))
    assert tree.digest(again) == tree.digest(mixed)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), again) == jax.tree.map(lambda a: (a.shape, a.dtype), mixed)
    assert metadata == {"history": [{"loss": 0.5, "table": [[1.0, 0.0], [0.0, 1.0]]}]}
    assert jnp.issubdtype(again.key.dtype, jax.dtypes.prng_key)


def test_other_tools_read_the_arrays_and_people_the_manifest(tmp_path):
    state = make()
    folder = checkpoint.save(tmp_path, state)
    arrays = load_file(folder / "arrays.safetensors")
    np.testing.assert_array_equal(arrays["params/dense_0/kernel"], state.params["dense_0"]["kernel"])
    content = json.loads((folder / "manifest.json").read_text())
    assert content["step"] == 7
    assert content["environment"]["jax"] == jax.__version__
    assert content["arrays"]["params/dense_0/kernel"]["shape"] == [3, 4]


def test_latest_is_computed_and_old_ones_go_after_the_new_one_stands(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "missing") is None
    for step in (1, 2, 3, 4):
        checkpoint.save(tmp_path, make(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000003", "step_00000004"]
    assert checkpoint.latest(tmp_path) == 4
    assert checkpoint.read_metadata(tmp_path) == {}


def test_a_step_saved_again_never_leaves_less_than_one_whole_checkpoint(tmp_path):
    checkpoint.save(tmp_path, make(7), keep=1)
    changed = make(7)._replace(params=jax.tree.map(jnp.zeros_like, make().params))
    path = checkpoint.save(tmp_path, changed, keep=1)
    assert path.name == "step_00000007.1"
    assert tree.digest(checkpoint.restore(tmp_path, changed)[0]) == tree.digest(changed)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000007.1"]


def test_a_save_that_fails_changes_nothing(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, make(1))
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fdl.train.checkpoint.store.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, make(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert checkpoint.latest(tmp_path) == 1


def test_no_damage_is_silent(tmp_path):
    """One flipped bit, one cut, one inserted byte, anywhere: refused, or the very state that was saved."""
    state = make()
    folder = checkpoint.save(tmp_path / "good", state)
    whole = tree.digest(state)
    chance = random.Random(0)
    outcomes = []
    for trial in range(60):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(folder.parent, tmp_path / "bad")
        victim = tmp_path / "bad" / folder.name / chance.choice(["arrays.safetensors", "manifest.json"])
        content = bytearray(victim.read_bytes())
        place = chance.randrange(len(content))
        if trial % 3 == 0:
            content[place] ^= 1 << chance.randrange(8)
        elif trial % 3 == 1:
            del content[place:]
        else:
            content.insert(place, chance.randrange(256))
        victim.write_bytes(content)
        try:
            with pytest.warns(UserWarning, match="trying the checkpoint before it"):
                checkpoint.restore(tmp_path / "bad", state)
        except checkpoint.CheckpointError:
            outcomes.append("refused")
        except pytest.fail.Exception:
            assert tree.digest(checkpoint.restore(tmp_path / "bad", state)[0]) == whole
            outcomes.append("equal")
    assert outcomes.count("refused") >= 50


def test_a_damaged_newest_checkpoint_falls_back_with_a_warning(tmp_path):
    checkpoint.save(tmp_path, make(1))
    newest = checkpoint.save(tmp_path, make(2))
    (newest / "arrays.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="step_00000002.*trying the checkpoint before it"):
        state, _ = checkpoint.restore(tmp_path, make())
    assert int(state.step) == 1
    (newest / "manifest.json").unlink()
    assert checkpoint.latest(tmp_path) == 1


def test_a_checkpoint_of_another_model_names_the_paths(tmp_path):
    checkpoint.save(tmp_path, make())
    wide = nn.serial(nn.dense(3, 5), nn.batch_norm(5), nn.dense(5, 2))
    with pytest.raises(TreeError) as caught:
        checkpoint.restore(tmp_path, make(model=wide))
    assert "step_00000007 holds another model or optimizer" in str(caught.value)
    assert "params/dense_0/kernel: expected float32[3,5], got float32[3,4]" in str(caught.value)
    with pytest.raises(TreeError, match="opt_state"):
        checkpoint.restore(tmp_path, make(optimizer=optim.sgd(0.1)))


def test_where_there_is_none_it_says_so(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="no whole checkpoint in"):
        checkpoint.restore(tmp_path, make())


def test_restored_states_can_be_donated(tmp_path):
    from fdl import losses

    def loss_fn(params, state, batch, key):
        y, state = MODEL.apply(params, state, batch, key=key, train=True)
        return losses.squared_error(y, jnp.zeros_like(y)).mean(), (state, {})

    step = train.make_train_step(loss_fn, optim.adam(1e-3))
    checkpoint.save(tmp_path, make())
    state, _ = checkpoint.restore(tmp_path, make())
    state, _ = step(state, jnp.ones((4, 3)))
    assert int(state.step) == 8
