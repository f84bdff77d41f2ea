"""The configuration of a run: kept with it, and compared before it goes on."""

import dataclasses
import io
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, optim, train
from fdl.train import checkpoint
from fdl.train.checkpoint import manifest
from tests.train.checkpoint.states import make


@dataclasses.dataclass(frozen=True)
class Model:
    depth: int
    widths: tuple = (4, 2)


def halved(step):
    return 0.5


CONFIG = {"seed": 0, "rate": 1e-2, "model": Model(3), "data": {"path": Path("a/b"), "shift": np.float32(0.5)}}
PLAIN = {"seed": 0, "rate": 0.01, "model": {"depth": 3, "widths": [4, 2]}, "data": {"path": "a/b", "shift": 0.5}}


def test_a_configuration_is_plain_data():
    assert checkpoint.plain_config(CONFIG) == PLAIN
    assert checkpoint.plain_config(PLAIN) == PLAIN
    assert checkpoint.plain_config(Model(2)) == {"depth": 2, "widths": [4, 2]}
    assert checkpoint.plain_config(None) == {}


def test_what_prints_as_the_call_that_made_it_is_that_call():
    config = {"model": nn.serial(nn.dense(3, 4), nn.relu), "optimizer": optim.adam(halved)}
    first, second = checkpoint.plain_config(config)["model"]["serial"].values()
    assert first == {"dense": {"in_dim": 3, "out_dim": 4}}
    assert second.endswith(".relu")
    assert checkpoint.plain_config(config)["optimizer"] == {"adam": {"learning_rate": f"{__name__}.halved"}}


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"a": {"b": [1, object()]}}, "config/a/b/1"),
        ({"a": lambda step: 0.5}, "config/a"),
        ({"a": {1: 2}}, "config/a"),
        ({"a/b": 1}, "config"),
        ([1, 2], "config must be a dict or a dataclass, got list"),
        (7, "config must be a dict or a dataclass, got int"),
    ],
)
def test_all_else_is_refused_by_path(tmp_path, config, path):
    with pytest.raises(TypeError, match=re.escape(path)):
        train.Saving(config=config)
    with pytest.raises(TypeError, match=re.escape(path)):
        checkpoint.save(tmp_path, make(), config=config)
    assert not any(tmp_path.iterdir())


def test_it_stands_in_the_manifest_with_its_hash(tmp_path):
    folder = checkpoint.save(tmp_path, make(), config=CONFIG)
    content = json.loads((folder / "manifest.json").read_text())
    assert content["config"] == checkpoint.read_config(tmp_path) == PLAIN
    other = json.loads((checkpoint.save(tmp_path, make(8), config=PLAIN) / "manifest.json").read_text())
    assert content["config_sha256"] == other["config_sha256"]
    other = json.loads((checkpoint.save(tmp_path, make(9), config=PLAIN | {"seed": 1}) / "manifest.json").read_text())
    assert content["config_sha256"] != other["config_sha256"]


def test_another_one_is_refused_with_all_paths_and_both_values(tmp_path):
    checkpoint.save(tmp_path, make(), config=CONFIG)
    other = {"seed": 0.0, "rate": 2e-2, "model": Model(3, ()), "data": {"path": "a/b", "shift": 0.5, "more": None}}
    with pytest.raises(checkpoint.ConfigError) as caught:
        checkpoint.restore(tmp_path, make(), config=other)
    message = str(caught.value)
    for line in [
        "step_00000007 was saved with another configuration (6 paths differ):",
        "  seed: 0, now 0.0\n",
        "  rate: 0.01, now 0.02\n",
        "  model/widths: missing, now []\n",
        "  model/widths/0: 4, now missing\n",
        "  model/widths/1: 2, now missing\n",
        "  data/more: missing, now null\n",
        "may_change='data/more'",
    ]:
        assert line in message
    may = ("seed", "rate", "model/**", "data/more")
    assert int(checkpoint.restore(tmp_path, make(), config=other, may_change=may)[0].step) == 7
    with pytest.raises(checkpoint.ConfigError, match=r"\(1 paths differ\):\n  rate: "):
        checkpoint.restore(tmp_path, make(), config=other, may_change=("seed", "model/**", "data/*"))
    assert int(checkpoint.restore(tmp_path, make(), config=CONFIG)[0].step) == 7
    assert int(checkpoint.restore(tmp_path, make())[0].step) == 7  # not compared


def test_one_that_was_forged_is_damage(tmp_path):
    folder = checkpoint.save(tmp_path, make(), config=CONFIG)
    content = json.loads((folder / "manifest.json").read_text())
    content.pop("digest")
    content["config"]["seed"] = 1
    (folder / "manifest.json").write_bytes(manifest.encode(content))
    with (
        pytest.warns(UserWarning, match="its configuration is not the one it was saved with"),
        pytest.raises(checkpoint.CheckpointError),
    ):
        checkpoint.restore(tmp_path, make())


def test_a_run_goes_on_with_its_own_configuration_alone_unless_it_is_told(tmp_path):
    def move(state, batch):
        return state._replace(step=state.step + 1), {"loss": jnp.float32(1)}

    step, start = train.Step(move), lambda: train.init_state(nn.dense(1, 1).init, optim.sgd(0.1))

    def fit(steps, config=None, may_change=(), where=tmp_path):
        saving, quiet = train.Saving(config=config, may_change=may_change), train.Progress(io.StringIO())
        run = {"steps": steps, "every": 2, "directory": where, "saving": saving, "progress": quiet}
        return int(train.fit(step, start(), lambda k: jnp.zeros(1), **run)[0].step)

    assert fit(2, {"rate": 1, "steps": 2}) == 2
    for other, line in [({"rate": 2, "steps": 2}, "rate: 1, now 2"), (None, "rate: 1, now missing")]:
        with pytest.raises(checkpoint.ConfigError, match=line):
            fit(4, other)
    assert fit(4, {"rate": 1, "steps": 4}, "steps") == 4
    assert checkpoint.read_config(tmp_path) == {"rate": 1, "steps": 4}  # what it went on with
    assert fit(2, where=tmp_path / "bare") == 2
    assert fit(4, {"rate": 1}, where=tmp_path / "bare") == 4  # the first had none to compare with
    assert checkpoint.read_config(tmp_path / "bare") == {"rate": 1}
