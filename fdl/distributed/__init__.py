"""Training on many devices and in many processes: layers, losses and the step stay as they are."""

from fdl.distributed import checkpoint
from fdl.distributed.collectives import count_collectives
from fdl.distributed.experts import expert_parallel
from fdl.distributed.late import gathered
from fdl.distributed.launch import init
from fdl.distributed.mesh import abstract_mesh, make_mesh
from fdl.distributed.pipeline import pipeline
from fdl.distributed.place import init_state, join, on_mesh, put, split, split_batches
from fdl.distributed.plan import lower, table
from fdl.distributed.processes import gather, preempted, require_equal_copies
from fdl.distributed.ring import ring_attention
from fdl.distributed.rules import (
    Layout,
    along,
    batch_shardings,
    data_parallel,
    fsdp,
    largest,
    prefer,
    replicate,
    shardings,
    tensor_parallel,
)
from fdl.train.together import DisagreementError, require_equal

__all__ = [
    # a mesh and where arrays lie on it
    "make_mesh",
    "abstract_mesh",
    "Layout",
    "replicate",
    "data_parallel",
    "fsdp",
    "tensor_parallel",
    "prefer",
    "along",
    "largest",
    "shardings",
    "batch_shardings",
    # what it will cost
    "table",
    "lower",
    "count_collectives",
    # training
    "init_state",
    "put",
    "split",
    "split_batches",
    "join",
    "on_mesh",
    "gathered",
    "checkpoint",
    # parallel code by hand, inside jax.shard_map
    "ring_attention",
    "pipeline",
    "expert_parallel",
    # many processes
    "init",
    "gather",
    "require_equal",
    "require_equal_copies",
    "preempted",
    "DisagreementError",
]
