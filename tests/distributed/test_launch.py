"""Who a process is, from arguments and environments as launchers leave them."""

import pytest

from fdl.distributed.launch import arguments, hosts, require_alone, require_reachable

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
