"""Optimizers: transforms of updates, chained.  Start reading at transform.py; the named ones are in optimizers/.

Each room lists its own public names; all of them are names of `fdl.optim`.
"""

from fdl.optim import (
    adaptive,
    averages,
    constraints,
    curvature,
    gradients,
    learning_rate_free,
    matrix,
    optimizers,
    schedules,
    wrappers,
)
from fdl.optim.adaptive import *
from fdl.optim.assignment import assignment
from fdl.optim.averages import *
from fdl.optim.constraints import *
from fdl.optim.curvature import *
from fdl.optim.gradients import *
from fdl.optim.learning_rate_free import *
from fdl.optim.matrix import *
from fdl.optim.optimizers import *
from fdl.optim.schedules import *
from fdl.optim.transform import (
    Hyper,
    Schedule,
    ScheduledState,
    Transform,
    apply_updates,
    chain,
    counting,
    leafwise,
    only,
    require_constant,
    require_number,
    require_trainable,
    scheduled,
    stateless,
    transform,
    value_at,
)
from fdl.optim.velocity import AccumulateState, accumulate, base_point, scale_by_learning_rate
from fdl.optim.wrappers import *

__all__ = [
    "assignment",
    "scale_by_learning_rate",
    "accumulate",
    "base_point",
    "Transform",
    "transform",
    "chain",
    "only",
    "stateless",
    "scheduled",
    "counting",
    "leafwise",
    "apply_updates",
    "value_at",
    "require_number",
    "require_constant",
    "require_trainable",
    "Hyper",
    "Schedule",
    "ScheduledState",
    "AccumulateState",
]
__all__ += schedules.__all__
__all__ += adaptive.__all__
__all__ += gradients.__all__
__all__ += constraints.__all__
__all__ += matrix.__all__
__all__ += curvature.__all__
__all__ += learning_rate_free.__all__
__all__ += averages.__all__
__all__ += wrappers.__all__
__all__ += optimizers.__all__
