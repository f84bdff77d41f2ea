"""Many processes as one run: who they are is read from arguments, from the environment, or found by JAX."""

import os
import socket
from collections.abc import Mapping
from typing import Any

import jax

from fdl.train.together import require_equal
from fdl.version import __version__

PATIENCE = 1800  # seconds that processes wait for each other: after a preemption, machines come back one by one


def init(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    local_devices: list[int] | None = None,
    detect: str | None = None,
    timeout: int = PATIENCE,
    heartbeat: int = 100,
    config: Any = None,
) -> None:
    """Join the other processes of the run, before anything else is computed; alone, it does nothing.

    coordinator is the "host:port" at which process 0 listens, known to all; processes how many there are; process
    which this one is.  Arguments come before the environment, see `arguments`, and that before what JAX finds: Open
    MPI 4, SLURM, TPUs, Kubernetes (`detect` names one of them, see `jax.distributed.initialize`).
    Then all wait for each other, `timeout` seconds at most; a process not heard of for `heartbeat` seconds ends all.
    All must have the same versions and the same `config`, any value that prints; process 0 prints a line.
    A coordinator at 127.0.0.1 listens to its own machine, any other to whoever reaches it: only in a private network.
    Raises ValueError for what is missing or cannot be reached, DisagreementError where processes differ.
    """
    given = arguments(os.environ, coordinator, processes, process, local_devices)
    if given.get("num_processes") == 1:
        return
    require_reachable(os.environ, given)
    given |= _private(given)
    complete = {"coordinator_address", "num_processes", "process_id"} <= given.keys()
    if complete and detect is None:
        detect = "deactivate"  # looking around could only fail
    waits = {"initialization_timeout": timeout, "heartbeat_timeout_seconds": heartbeat}
    told: dict[str, Any] = {**given, **waits, "cluster_detection_method": detect}
    try:
        jax.distributed.initialize(**told)
    except ValueError as error:
        if given or "should be defined" not in str(error):
            raise ValueError(f"{error} {_hint(os.environ)}".strip()) from error
        require_alone(os.environ)
        return
    versions = {"fdl": __version__, "jax": jax.__version__, "platform": jax.default_backend()}
    require_equal("the environment", versions)
    require_equal("the configuration", config)
    if jax.process_index() == 0:
        print(f"{jax.process_count()} processes, {jax.device_count()} devices, {_read(versions)}", flush=True)


def arguments(
    environment: Mapping[str, str],
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    local_devices: list[int] | None = None,
) -> dict[str, Any]:
    """What `jax.distributed.initialize` is to be told, as far as arguments or environment say it.

    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID; with an address, the count and rank of Open MPI too,
    any version, and then as under SLURM each process has the device of its local rank alone.  JAX reads
    JAX_LOCAL_DEVICE_IDS and JAX_COORDINATOR_BIND_ADDRESS by itself.
    """
    found: dict[str, Any] = {"coordinator_address": coordinator or environment.get("JAX_COORDINATOR_ADDRESS")}
    names = {"num_processes": ("JAX_NUM_PROCESSES", processes), "process_id": ("JAX_PROCESS_ID", process)}
    found |= {name: _whole(environment, key) if own is None else own for name, (key, own) in names.items()}
    found["local_device_ids"] = local_devices
    if found["coordinator_address"] and found["num_processes"] is None and found["process_id"] is None:
        found["num_processes"] = _whole(environment, "OMPI_COMM_WORLD_SIZE")
        found["process_id"] = _whole(environment, "OMPI_COMM_WORLD_RANK")
        found["local_device_ids"] = local_devices or _own_device(environment)
    return {name: value for name, value in found.items() if value is not None}


def require_reachable(environment: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Raise ValueError if the coordinator is "this machine" to each of several machines, which would all wait."""
    address = given.get("coordinator_address")
    if address is None:
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"the coordinator must be given as host:port, got {address!r}")
    if hosts(environment) > 1 and _is_loopback(host):
        raise ValueError(
            f"the coordinator {address!r} is each machine itself, and there are {hosts(environment)} machines; "
            "give an address of process 0 that the others reach, and look at its line in /etc/hosts"
        )


def hosts(environment: Mapping[str, str]) -> int:
    """On how many machines a launcher says that the run is; 1 where none says it."""
    ranks, local = (_whole(environment, f"OMPI_COMM_WORLD_{key}") for key in ("SIZE", "LOCAL_SIZE"))
    if ranks and local:
        return -(-ranks // local)
    return _whole(environment, "SLURM_STEP_NUM_NODES") or _whole(environment, "SLURM_NNODES") or 1


def require_alone(environment: Mapping[str, str]) -> None:
    """Raise ValueError where a launcher started several processes of which JAX found none: each would run by itself."""
    ranks = [_whole(environment, name) or 1 for name in ("OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS")]
    ranks.append(1 + (_whole(environment, "JOB_COMPLETION_INDEX") or 0))
    if max(ranks) > 1:
        raise ValueError(f"there are other processes, but no coordinator was found. {_hint(environment)}")


def _own_device(environment: Mapping[str, str]) -> list[int] | None:
    """The local rank, unless JAX_LOCAL_DEVICE_IDS says which devices."""
    rank = _whole(environment, "OMPI_COMM_WORLD_LOCAL_RANK")
    return None if rank is None or "JAX_LOCAL_DEVICE_IDS" in environment else [rank]


def _private(given: Mapping[str, Any]) -> dict[str, str]:
    """Listen to this machine alone where no other can be meant; JAX listens to all."""
    address = given.get("coordinator_address", "")
    alone = _is_loopback(address.rpartition(":")[0]) and "JAX_COORDINATOR_BIND_ADDRESS" not in os.environ
    return {"coordinator_bind_address": address} if alone else {}


def _hint(environment: Mapping[str, str]) -> str:
    if "OMPI_COMM_WORLD_SIZE" in environment:
        return "Under Open MPI: mpirun -x JAX_COORDINATOR_ADDRESS=$(hostname):12345 python train.py"
    if "SLURM_JOB_ID" in environment:
        return "Under SLURM: srun python train.py, not python train.py; for one process init(processes=1)"
    return "Give coordinator, processes and process, or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID"


def _whole(environment: Mapping[str, str], key: str) -> int | None:
    text = environment.get(key)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{key} must be a whole number, got {text!r}") from None


def _is_loopback(host: str) -> bool:
    try:
        return socket.gethostbyname(host.strip("[]")).startswith("127.")
    except OSError:
        return host.strip("[]") == "::1"


def _read(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
