"""Who a process is, from arguments and environments as launchers leave them."""

import json
import re

import pytest

from fdl.distributed.launch import arguments, hosts, require_alone, require_reachable
from tests.distributed.child import ROOT, free_port, start

PAGE = (ROOT / "docs" / "distributed.md").read_text()

HAND = {"JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_NODES": "2"}


def told(coordinator, processes, process):
    return {"coordinator_address": coordinator, "num_processes": processes, "process_id": process}


@pytest.mark.parametrize(
    ("environment", "given", "found"),
    [
        ({}, (), {}),
        (HAND, (), told("10.0.0.1:1234", 4, 3)),
        (HAND, ("h:1", 2, 0), told("h:1", 2, 0)),
        (HAND, (None, None, 0), told("10.0.0.1:1234", 4, 0)),
        (MPI, (), {}),
        (MPI | {"JAX_COORDINATOR_ADDRESS": "h:1"}, (), told("h:1", 4, 2)),
        (
            MPI | {"JAX_COORDINATOR_ADDRESS": "h:1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            (),
            told("h:1", 4, 2) | {"local_device_ids": [1]},
        ),
        (MPI | HAND, (), told("10.0.0.1:1234", 4, 3)),
        (SLURM, (), {}),
        ({}, (None, None, None, [0, 1]), {"local_device_ids": [0, 1]}),
    ],
)
def test_arguments_come_before_the_environment_and_that_before_the_launcher(environment, given, found):
    assert arguments(environment, *given) == found


def test_a_number_that_is_none_is_named():
    with pytest.raises(ValueError, match="JAX_PROCESS_ID must be a whole number, got 'three'"):
        arguments(HAND | {"JAX_PROCESS_ID": "three"})


@pytest.mark.parametrize(
    ("environment", "count"), [({}, 1), (HAND, 1), (MPI, 2), (SLURM, 2), ({"SLURM_NNODES": "3"}, 3)]
)
def test_launchers_say_how_many_machines_there_are(environment, count):
    assert hosts(environment) == count


def test_a_coordinator_that_each_machine_takes_for_itself_is_refused():
    for environment in (MPI, SLURM):
        with pytest.raises(ValueError, match="is each machine itself, and there are 2 machines"):
            require_reachable(environment, told("127.0.0.1:99", 4, 0))
    require_reachable(MPI, told("10.0.0.1:99", 4, 0))
    require_reachable({}, told("127.0.0.1:99", 4, 0))
    require_reachable(SLURM, {})


@pytest.mark.parametrize("address", ["10.0.0.1", "host:", "host:port"])
def test_a_coordinator_without_a_port_is_refused(address):
    with pytest.raises(ValueError, match="must be given as host:port"):
        require_reachable({}, told(address, 2, 0))


def test_processes_that_a_launcher_started_do_not_each_run_alone():
    with pytest.raises(ValueError, match=r"mpirun -x JAX_COORDINATOR_ADDRESS"):
        require_alone(MPI)
    with pytest.raises(ValueError, match="srun python"):
        require_alone(SLURM)
    with pytest.raises(ValueError, match="Give coordinator, processes and process"):
        require_alone({"JOB_COMPLETION_INDEX": "1"})
    require_alone({"SLURM_NTASKS": "1"})
    require_alone({})


def test_the_page_s_variables_are_those_that_are_read():
    terminals = [
        dict(re.findall(r"(JAX_\w+)=(\S+)", line)) for line in re.findall(r"^JAX_.*train.py$", PAGE, re.MULTILINE)
    ]
    assert [arguments(terminal) for terminal in terminals] == [told("127.0.0.1:12345", 2, i) for i in (0, 1)]
    pod = dict(re.findall(r'{name: (JAX_\w+), value: "(.*?)"}', PAGE)) | {"JAX_PROCESS_ID": "1"}
    assert re.search(r"name: JAX_PROCESS_ID\s+valueFrom: .*job-completion-index", PAGE)
    assert arguments(pod) == told("train-workers-0-0.train:12345", 2, 1)
    (name,) = re.findall(r"mpirun .* -x (\w+)=", PAGE)
    assert arguments(MPI | {name: "head:12345"}) == told("head:12345", 4, 2)


def test_processes_started_by_hand_and_by_open_mpi_are_one_run():
    address = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}"}
    by_hand = {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}
    by_mpi = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
    running = [start("join", devices=2, **address, **own) for own in (by_hand, by_mpi)]
    try:
        (first, errors), (second, more) = (process.communicate(timeout=120) for process in running)
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], errors + more
    status, found = first.splitlines()[-2:]
    assert re.fullmatch(r"2 processes, 4 devices, fdl \S+, jax \S+, platform cpu", status)
    assert [json.loads(found), json.loads(second.splitlines()[-1])] == [[0, 2, 4], [1, 2, 4]]


def test_one_process_alone_joins_nothing():
    process = start("join", devices=2)
    assert json.loads(process.communicate(timeout=120)[0]) == [0, 1, 2]
