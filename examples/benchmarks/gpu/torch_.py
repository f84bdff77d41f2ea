"""torch on a GPU: autocast to bfloat16, or TF32; everything on the device before it begins.

"torch.compile" compiles loss and gradient, "torch.graphs" besides replays them as CUDA graphs (mode reduce-overhead).
"""

import itertools
from collections.abc import Callable

import torch

from examples.benchmarks.frameworks.torch_ import load, optimizer_of, tensors
from examples.benchmarks.harness.task import Arrays, Program, Task

MODES = {"compile": "default", "graphs": "reduce-overhead"}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def trained(model: torch.nn.Module, loss: Callable, task: Task, arrays: Arrays | None = None) -> Program:
    """Steps of training; loss(model, batch) -> number.  The losses of a run are read at its end."""
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    model = load(model, task.out_first if arrays is None else arrays).to(DEVICE)
    move = lambda batch: {name: tensor.to(DEVICE) for name, tensor in tensors(batch).items()}
    batches = itertools.cycle([move(batch) for batch in task.batches])
    optimizer = optimizer_of(model, task)
    precision = getattr(torch, task.workload.precision)
    value_of = torch.compile(loss, mode=MODES[task.compiled]) if task.compiled else loss

    def run(steps):
        curve = []
        for batch in itertools.islice(batches, steps):
            optimizer.zero_grad()
            with torch.autocast(DEVICE, torch.bfloat16, enabled=precision != torch.float32):
                value = value_of(model, batch)
            value.backward()
            optimizer.step()
            curve.append(value.detach().clone())  # a graph writes its next loss to the same place
        return torch.stack(curve).tolist()

    return run
