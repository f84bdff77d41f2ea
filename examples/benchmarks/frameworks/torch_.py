"""torch: modules, a fused optimizer, images channels-last; "torch.compile" compiles the loss and its gradient."""

import itertools
import os
from collections.abc import Callable, Iterator

import numpy as np
import torch

from examples.benchmarks.harness.task import Arrays, Program, Task, require_all

PACKAGES = ("torch",)

torch.set_num_threads(len(os.sched_getaffinity(0)))


def optimizer_of(model: torch.nn.Module, task: Task) -> torch.optim.Optimizer:
    """The optimizer of the workload."""
    kind, learning_rate, momentum = task.workload.optimizer
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if kind == "adam":
        return torch.optim.Adam(parameters, learning_rate, fused=True)
    if kind == "adamw":
        arrays = [parameter for parameter in parameters if parameter.ndim > 1]
        rest = [parameter for parameter in parameters if parameter.ndim == 1]
        groups = [{"params": arrays, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, learning_rate, betas=(0.9, 0.95), fused=True)
    return torch.optim.SGD(parameters, learning_rate, momentum, fused=True)


def load(model: torch.nn.Module, arrays: Arrays) -> torch.nn.Module:
    """The model with these weights, named like its parameters but for slashes, and channels-last kernels."""
    weights = {path.replace("/", "."): torch.from_numpy(array.copy()) for path, array in arrays.items()}
    require_all("torch", dict(model.named_parameters()), weights)
    model.load_state_dict(weights, strict=False)  # running moments are not given
    return model.to(memory_format=torch.channels_last)


def tensors(batch: Arrays) -> dict[str, torch.Tensor]:
    """A batch; images become (batch, dim, height, width) in their old memory, which is channels-last."""
    move = lambda array: np.moveaxis(array, -1, 1) if array.ndim == 4 else array
    whole = lambda tensor: tensor.long() if tensor.dtype == torch.int32 else tensor
    return {name: whole(torch.from_numpy(move(array))) for name, array in batch.items()}


def ready(model: torch.nn.Module, task: Task, arrays: Arrays | None = None) -> tuple[torch.nn.Module, Iterator]:
    """The model with its weights, those of the task unless others are given, and the batches over and over."""
    load(model, task.out_first if arrays is None else arrays)
    return model, itertools.cycle([tensors(batch) for batch in task.batches])


def trained(model: torch.nn.Module, loss: Callable, task: Task, arrays: Arrays | None = None) -> Program:
    """Steps of training; loss(model, batch) -> number.  Arrays are those of `ready`."""
    model, batches = ready(model, task, arrays)
    optimizer = optimizer_of(model, task)
    loss = torch.compile(loss) if task.compiled else loss

    def run(steps):
        curve = []
        for batch in itertools.islice(batches, steps):
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            optimizer.step()
            curve.append(value.item())
        return curve

    return run
