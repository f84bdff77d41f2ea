"""Checkpoints: whole, checked, never half."""

import json
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from fdl import nn, optim, train, tree
from fdl.checks import TreeError
from fdl.train import checkpoint
from fdl.train.checkpoint import manifest
from tests.train.checkpoint.states import MODEL, kept, make

STATISTICS = ["state/batch_norm_0/mean", "state/batch_norm_0/var"]
KEPT = Path(__file__).parent.parent.parent / "data" / "checkpoints"


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
    with pytest.raises(checkpoint.CheckpointError, match=r"no whole checkpoint in .*; there is no such directory"):
        checkpoint.restore(tmp_path / "missing", make())
    checkpoint.save(tmp_path, make(3))
    with pytest.raises(checkpoint.CheckpointError, match="no whole checkpoint of step 4 in"):
        checkpoint.restore(tmp_path, make(), step=4)
    assert int(checkpoint.restore(tmp_path, make(), step=3)[0].step) == 3


def test_a_later_step_is_never_hidden_nor_hides(tmp_path):
    """A new run in the directory of an old one would else be thrown away by retention, and the old one restored."""
    later = checkpoint.save(tmp_path, make(9))
    with pytest.raises(checkpoint.CheckpointError, match="holds the later step 9 already, so step 2 would be hidden"):
        checkpoint.save(tmp_path, make(2))
    (later / "arrays.safetensors").write_bytes(b"")
    checkpoint.save(tmp_path, make(2))
    assert checkpoint.latest(tmp_path) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged_step_00000009", "step_00000002"]
    checkpoint.save(tmp_path, make(5))
    checkpoint.save(tmp_path, make(4), keep={2, 4})
    assert sorted(path.name for path in tmp_path.glob("step*")) == ["step_00000002", "step_00000004"]


@pytest.mark.parametrize("written", sorted(path.name for path in KEPT.iterdir()))
def test_every_format_ever_written_is_read(written):
    """The kept files are of the version that first wrote their format."""
    expected = kept()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*was saved in another environment")
        found, metadata = checkpoint.restore(KEPT / written, expected)
    assert tree.digest(found) == tree.digest(expected)
    assert metadata == {"history": [{"step": 7, "loss": 0.5}]}


def test_a_newer_format_is_refused_and_not_passed_over(tmp_path):
    checkpoint.save(tmp_path, make(1))
    folder = checkpoint.save(tmp_path, make(2))
    content = json.loads((folder / "manifest.json").read_text()) | {"format": 4}
    content.pop("digest")
    (folder / "manifest.json").write_bytes(manifest.encode(content))
    with pytest.raises(checkpoint.FormatError, match="has format 4, this version of fdl reads up to 3"):
        checkpoint.restore(tmp_path, make())
    with pytest.raises(checkpoint.FormatError):
        checkpoint.save(tmp_path, make(1))


def test_another_environment_is_named(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, make())
    now = manifest.environment()
    changed = now | {"device_count": 8, "process_count": 4}
    changed |= {"jax": "0.1", "cpu_count": 512, "xla_flags": "--fast", "device_kind": "abacus", "python": "2.7"}
    monkeypatch.setattr(manifest, "environment", lambda: changed)
    with pytest.warns(UserWarning, match="was saved in another environment") as caught:
        checkpoint.restore(tmp_path, make())
    (message,) = [str(warning.message) for warning in caught]
    assert f"jax '{jax.__version__}', now '0.1'; " in message
    assert "device_count 1, now 8; process_count 1, now 4; cpu_count" in message
    assert "now 512" in message
    assert "now 'abacus'" in message
    assert "now '--fast'" in message
    assert "python" not in message
    assert message.endswith("From here on bits may differ")


def test_element_types_that_the_file_format_does_not_know_come_back_too(tmp_path):
    kinds = ["int4", "uint4", "float8_e4m3fn", "float8_e4m3b11fnuz", "bool", "uint16", "complex64"]
    state = make()._replace(params={kind: jnp.array([0, 1, 1, 0]).astype(kind).reshape(2, 2) for kind in kinds})
    folder = checkpoint.save(tmp_path, state)
    again, _ = checkpoint.restore(tmp_path, state)
    assert tree.digest(again) == tree.digest(state)
    assert [str(leaf.dtype) for leaf in jax.tree.leaves(again.params)] == sorted(kinds)
    with safe_open(folder / "arrays.safetensors", "numpy") as file:
        assert file.get_tensor("params/uint16").tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("odd", [np.array(["text"]), np.array(["2026-01-01"], "datetime64[D]")])
def test_what_could_not_be_read_again_is_not_written(tmp_path, odd):
    with pytest.raises(checkpoint.CheckpointError, match="'state/odd' is no array"):
        checkpoint.save(tmp_path, make()._replace(state={"odd": odd}))
    assert list(tmp_path.iterdir()) == []


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


def test_a_part_is_taken_when_asked_for_with_a_list_of_what_was_not(tmp_path):
    checkpoint.save(tmp_path, make())
    wide = make(1, nn.serial(nn.dense(3, 4), nn.batch_norm(4), nn.dense(4, 9)), optim.sgd(0.1))
    state, found = checkpoint.restore_part(tmp_path, wide, ["params/dense_0/*", "**/batch_norm_0/*"])
    norm = ["params/batch_norm_0/bias", "params/batch_norm_0/scale"]
    assert found.taken == [*norm, "params/dense_0/bias", "params/dense_0/kernel", *STATISTICS]
    assert found.kept == ["step", "key", "params/dense_1/bias", "params/dense_1/kernel"]
    assert {"step", "params/dense_1/kernel", "opt_state/0/mean/dense_0/kernel"} < set(found.left)
    assert tree.digest(state.params["dense_0"]) == tree.digest(make().params["dense_0"])
    assert state.params["dense_1"]["kernel"] is wide.params["dense_1"]["kernel"]
    assert int(state.step) == 1
    with pytest.raises(TreeError, match=r"params/dense_1/bias: expected float32\[9\], got float32\[2\]"):
        checkpoint.restore_part(tmp_path, wide, "params/**")
    with pytest.raises(TreeError, match="'params/dense_7/\\*' matches nothing"):
        checkpoint.restore_part(tmp_path, wide, "params/dense_7/*")
    with pytest.raises(TreeError, match=r"state/more: missing, expected float32\[2\]"):
        checkpoint.restore_part(tmp_path, wide._replace(state={"more": jnp.zeros(2)}), "state/more")
