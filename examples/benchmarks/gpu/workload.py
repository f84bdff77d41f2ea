"""What a workload on a GPU says besides: how its numbers are rounded, and what it makes of how much arithmetic."""

from dataclasses import dataclass

from examples.benchmarks.workload import Workload


@dataclass(frozen=True)
class GpuWorkload(Workload):
    """Parameters are float32; products are taken in `precision`, of float32 in TF32.

    A unit of work handles `items` items of this name, each with `flops_per_item` floating-point operations of the
    model, gradients included.
    """

    precision: str = "bfloat16"
    item: str = "image"
    items: int = 1
    flops_per_item: int = 0
