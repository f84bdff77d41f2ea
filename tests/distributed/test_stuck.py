"""A rank that lives and does nothing hangs all others for ever, in JAX; here all end, and say where they were."""

from tests.distributed.child import free_port, start


def test_a_rank_that_sleeps_ends_itself_and_those_who_wait_for_it():
    address = f"127.0.0.1:{free_port()}"
    together = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    running = [start("stuck", devices=1, JAX_PROCESS_ID=rank, **together) for rank in "01"]
    try:
        errors = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [1, 1]
    for said, where in zip(errors, ("in fall_asleep", "programs/stuck.py")):
        assert "Timeout (0:00:0" in said
        assert where in said
