"""Eight devices in one process save, two processes go on; SIGTERM to one of them ends both after the same step."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, metrics, nn, optim, train, tree
from tests.distributed.child import free_port, report, start
from tests.train.checkpoint.states import kept

MESHES = {"1": [1, 1], "2": [1, 2], "4": [1, 4], "2 x 4": [2, 4], "4 x 2": [4, 2]}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    return folder, report(start("restore", folder))


@pytest.fixture(scope="module")
def together(saved, tmp_path_factory):
    """Reports of two processes of two devices, started as srun would start them."""
    new = tmp_path_factory.mktemp("new")
    slurm = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
    slurm["JAX_COORDINATOR_PORT"] = str(free_port())
    ranks = [{"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in "01"]
    running = [start("process", saved[0], new, devices=2, **slurm, **rank) for rank in ranks]
    try:
        return new, [report(process) for process in running]
    finally:
        for process in running:
            process.kill()


@pytest.mark.parametrize("mesh", MESHES)
def test_a_checkpoint_of_eight_devices_fits_every_mesh(saved, mesh):
    restored = saved[1]["restored"][mesh]
    assert restored["equal"]
    assert restored["metadata"] == {"devices": 8}
    assert restored["later"] < 2e-7


def test_a_restored_state_is_split_as_its_new_layout_says(saved):
    splits = {mesh: restored["split"] for mesh, restored in saved[1]["restored"].items()}
    assert splits == MESHES


@pytest.mark.parametrize("mesh", ["2 x 4", "4 x 2"])
def test_a_checkpoint_in_parts_of_two_processes_fits_every_mesh(saved, mesh):
    assert saved[1]["of two processes"][mesh] == tree.digest(kept())


def test_two_processes_are_one_run(together):
    a, b = together[1]
    assert (a["process"], b["process"], a["processes"], a["devices"]) == (0, 1, 2, 4)
    assert a["rows_here"] == b["rows_here"] == 8
    assert a["moved"]
    assert a["joined"]
    for name in ("batch", "loss", "correct", "params", "restored", "loop", "saved", "stopped"):
        assert a[name] == b[name], name


def test_tensors_and_sequences_split_across_processes_give_the_same(together):
    for found in together[1]:
        assert found["tensor"] < 3 * 1.2e-7
        assert found["ring"] < 1e-6


def test_two_processes_take_the_steps_of_one_device(together):
    ours = together[1][0]
    examples = {"x": np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)}
    examples["y"] = np.tanh(examples["x"][:, :4])
    batches, model = data.shuffled(examples, batch=16, seed=5), nn.mlp(16, 64, 4)

    def square(params, state, batch, key):
        y, state = model.apply(params, state, batch["x"], key=key, train=True)
        return jnp.mean((y - batch["y"]) ** 2), (state, {})

    def predict(params, state, batch):
        return model.apply(params, state, batch["x"])[0], batch["y"].argmax(-1).astype(jnp.int32)

    step, state = train.make_train_step(square, optim.adam(1e-2)), train.init_state(model.init, optim.adam(1e-2))
    assert ours["batch"] == tree.digest({"x": batches(0)["x"]})
    for k in range(3):
        state, _ = step(state, batches(k))
    for path, leaf in tree.flatten(state.params).items():
        np.testing.assert_allclose(np.array(ours["params"][path]), leaf, rtol=0, atol=2e-7)
    assert ours["loop"] < 1e-7  # train.run, whose dispatches must not depend on the clocks of processes
    evaluate = train.make_evaluate(predict, {"correct": metrics.correct()})
    some = [jax.tree.map(lambda leaf, size=size: leaf[:size], examples) for size in (1, 7, 64)]
    assert ours["correct"] == [evaluate(state, one)["correct"] for one in some for _ in range(2)]


def test_checkpoints_pass_between_numbers_of_processes(saved, together):
    new, (ours, _) = together
    assert ours["restored"] == saved[1]["digest"]
    model, optimizer = nn.mlp(16, 64, 4), optim.adam(1e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of another environment
        state, _ = train.checkpoint.restore(new, train.init_state(model.init, optimizer))
    assert tree.digest(state) == ours["saved"]


def test_a_checkpoint_that_cannot_be_written_is_an_error_in_every_process(together):
    assert [found["refused"] for found in together[1]] == [together[1][0]["refused"]] * 2 != ["nothing"] * 2


def test_processes_that_differ_are_told_how(together):
    message = "the seed of process 1 is 1, of process 0 0; 1 of 2 processes differ from process 0"
    assert [found["equal"] for found in together[1]] == [message, message]


def test_a_signal_to_one_process_stops_all_after_the_same_step(together):
    assert 3 < together[1][0]["stopped"] < 1999


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The folder of a run of two processes by train.fit, and what each reported in its two lives."""
    folder, lives = tmp_path_factory.mktemp("fitted"), []
    for life in ("begin", "go on"):
        given = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": "2"}
        running = [start("fit", folder, life, devices=2, **given, JAX_PROCESS_ID=rank) for rank in "01"]
        try:
            lives.append([report(process) for process in running])
        finally:
            for process in running:
                process.kill()
    return folder, lives


def test_a_signal_to_one_process_of_a_fit_stops_both_and_the_run_goes_on_with_the_same_bits(fitted):
    _, ((a, b), (on, also)) = fitted
    assert a == b
    assert 0 < a["stopped"] < 33
    assert a["code"] == 75
    assert on["said"].startswith(f"going on after step {a['stopped']} of ")
    assert on["on"] == also["on"] == a["whole"]
    assert on["on"]["moved"] == 0


def test_damage_that_one_process_sees_sends_all_back_to_the_same_checkpoint(fitted):
    _, ((a, _), (on, also)) = fitted
    assert on["again"] == also["again"] == a["whole"]
    for found, text in ((on, "in process 1: "), (also, "")):
        (warning,) = [line for line in found["warned"] if "trying" in line]
        assert warning.startswith(text)
        assert "step_00000033/arrays-00001-of-00002.safetensors is damaged: " in warning


def test_a_disk_that_is_full_for_one_process_is_an_error_in_all_and_nothing_is_left(fitted):
    for found, where in zip(fitted[1][1], ("in process 1: ", "")):
        assert f"step 0 was not saved: {where}No space left on device; it needs" in found["full"]
        assert found["left"] == []


def test_another_configuration_is_refused_in_all_processes(fitted):
    for found in fitted[1][1]:
        assert "rate: 0.01, now 0.02" in found["refused"]
        assert found["differ"].startswith("the configuration of process 1 is {'rate': 1}, of process 0 {'rate': 0}")


def test_batches_that_every_process_holds_are_the_same_run(fitted):
    (a, _), (on, also) = fitted[1]
    assert on["resident"] == also["resident"]
    assert on["resident"]["rows"][-1]["loss"] == pytest.approx(a["whole"]["rows"][-1]["loss"], rel=1e-5)


def test_a_checkpoint_in_parts_of_two_processes_is_restored_by_one(fitted):
    folder, ((a, _), _) = fitted
    files = sorted(path.name for path in (folder / "step_00000033.1").iterdir())
    assert files == ["arrays-00000-of-00002.safetensors", "arrays-00001-of-00002.safetensors", "manifest.json"]
    model = nn.serial(nn.dense(16, 32), nn.dropout(0.1), nn.dense(32, 4))
    with pytest.warns(UserWarning, match="device_count 4, now 1; process_count 2, now 1"):
        state, _ = train.checkpoint.restore(folder, train.init_state(model.init, optim.adam(1e-2)))
    assert tree.digest(state) == a["whole"]["digest"]
    assert sorted(path.name for path in folder.glob("[.s]*")) == [f"step_000000{k}" for k in ("32", "33", "33.1")]
