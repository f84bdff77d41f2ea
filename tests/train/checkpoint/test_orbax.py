"""States through Orbax: the same bits, the same refusals, and no damage in silence."""

import random
import shutil

import jax
import pytest

from fdl import nn, optim, train, tree
from fdl.checks import TreeError
from fdl.train import checkpoint
from fdl.train.checkpoint import orbax
from tests.distributed.child import free_port, report, start
from tests.train.checkpoint.states import kept, make

pytest.importorskip("orbax.checkpoint")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A directory with steps 1 and 7."""
    folder = tmp_path_factory.mktemp("orbax")
    orbax.save(folder, make(1), config={"seed": 0})
    orbax.save(folder, kept(), metadata={"history": [{"loss": 0.5}]}, config={"seed": 0})
    return folder


def test_all_of_the_state_comes_back_bit_for_bit(saved):
    state, metadata = orbax.restore(saved, kept(), config={"seed": 0})
    assert tree.digest(state) == tree.digest(kept())
    assert metadata == {"history": [{"loss": 0.5}]}
    assert int(orbax.restore(saved, make(), step=1)[0].step) == 1


def test_what_does_not_fit_is_refused_as_ever(saved):
    with pytest.raises(TreeError, match="params/dense_0/kernel: expected"):
        orbax.restore(saved, train.init_state(nn.serial(nn.dense(3, 9)).init, optim.adam(1e-3)))
    with pytest.raises(checkpoint.ConfigError, match="seed: 0, now 1"):
        orbax.restore(saved, kept(), config={"seed": 1})
    with pytest.raises(checkpoint.CheckpointError, match="no whole checkpoint of step 3"):
        orbax.restore(saved, kept(), step=3)
    with pytest.raises(checkpoint.CheckpointError, match="holds step 7 already, so step 2 cannot follow"):
        orbax.save(saved, make(2))


def test_the_newest_stay(tmp_path):
    for step in (1, 2, 3):
        orbax.save(tmp_path, make(step)._replace(opt_state=(), state={}), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["2", "3"]


def test_no_flipped_bit_of_the_arrays_is_loaded_in_silence(tmp_path):
    """Orbax reads all of these without a word."""
    kernel = jax.random.normal(jax.random.key(0), (64, 64))
    state = make()._replace(params={"kernel": kernel}, opt_state=(), state={})
    orbax.save(tmp_path / "good", state)
    size = lambda path: path.stat().st_size
    largest = max((path for path in (tmp_path / "good").rglob("*") if path.is_file()), key=size)
    good, chance = largest.read_bytes(), random.Random(0)
    for i in range(20):
        bad, place = shutil.copytree(tmp_path / "good", tmp_path / str(i)), chance.randrange(200, len(good) - 200)
        flipped = bytes([good[place] ^ 1 << chance.randrange(8)])
        (bad / largest.relative_to(tmp_path / "good")).write_bytes(good[:place] + flipped + good[place + 1 :])
        with (
            pytest.warns(UserWarning, match="is damaged: params/kernel is not what was saved; trying the checkpoint"),
            pytest.raises(checkpoint.CheckpointError, match="no whole checkpoint"),
        ):
            orbax.restore(bad, state)
    assert tree.digest(orbax.restore(tmp_path / "good", state)[0]) == tree.digest(state)


def test_a_file_that_is_gone_is_refused(tmp_path):
    orbax.save(tmp_path, make(1))
    orbax.save(tmp_path, make(2))
    next((tmp_path / "2").rglob("metadata")).unlink()
    with pytest.warns(UserWarning, match="2 cannot be read by Orbax: .*; trying the checkpoint before it"):
        assert int(orbax.restore(tmp_path, make())[0].step) == 1


def test_two_processes_restore_onto_another_mesh_what_they_saved(tmp_path):
    given = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    running = [start("through_orbax", tmp_path, devices=2, **given, JAX_PROCESS_ID=rank) for rank in "01"]
    try:
        assert [report(process) for process in running] == [[[True, True], [True, True]]] * 2
    finally:
        for process in running:
            process.kill()
