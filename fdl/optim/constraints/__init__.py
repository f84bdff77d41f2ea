"""Parameters kept small, sparse or inside a set."""

from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.constraints.project import max_norm, min_max_norm, non_negative, project, projection, unit_norm
from fdl.optim.constraints.projections import box, halfspace, hyperplane, l1_ball, l1_sphere, line, simplex
from fdl.optim.constraints.proximal import (
    ExtrapolateState,
    extrapolate,
    group_soft_threshold,
    proximal,
    proximal_gradient,
    proximal_step,
    soft_threshold,
)
from fdl.optim.constraints.proximal_decay import divide_weights

__all__ = [
    "add_weight_decay",
    "project",
    "divide_weights",
    "max_norm",
    "unit_norm",
    "min_max_norm",
    "non_negative",
    "projection",
    "box",
    "hyperplane",
    "halfspace",
    "simplex",
    "l1_ball",
    "l1_sphere",
    "proximal_gradient",
    "proximal_step",
    "extrapolate",
    "soft_threshold",
    "group_soft_threshold",
    "proximal",
    "ExtrapolateState",
    "line",
]
