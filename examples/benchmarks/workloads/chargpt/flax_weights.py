"""The weights in the shapes of flax, whose attention keeps its heads apart and calls its last product out."""

from examples.benchmarks.harness.task import Arrays, Task
from examples.benchmarks.workloads.chargpt import HEADS


def arrays_of(task: Task) -> Arrays:
    """Query, key and value (dim, heads, head_dim), out (heads, head_dim, dim)."""
    arrays = {}
    for path, array in task.apart.items():
        if path.endswith("attend/output/kernel"):
            array = array.reshape(HEADS, -1, array.shape[-1])
        elif "/attend/" in path and "/output/" not in path:
            array = array.reshape(*array.shape[:-1], HEADS, -1)
        arrays[path.replace("attend/output", "attend/out")] = array
    return arrays
