"""Functions of the step: what a rate, or any number accepted for one, is when."""

from fdl.optim.schedules.phases import (
    join,
    one_cycle,
    product,
    triangular,
    warm_restarts,
    warmup,
    warmup_cosine,
    warmup_stable_decay,
)
from fdl.optim.schedules.plateau import PlateauState, reduce_on_plateau
from fdl.optim.schedules.plot import draw_schedule, plot_schedule
from fdl.optim.schedules.robbins_monro import satisfies_robbins_monro
from fdl.optim.schedules.standard import (
    constant,
    cosine,
    exponential,
    interpolate,
    inverse_sqrt,
    inverse_time,
    linear,
    noam,
    piecewise,
    polynomial,
    schedule,
    step_decay,
    tanh_decay,
)

__all__ = [
    "reduce_on_plateau",
    "constant",
    "linear",
    "polynomial",
    "cosine",
    "step_decay",
    "piecewise",
    "interpolate",
    "exponential",
    "inverse_time",
    "inverse_sqrt",
    "noam",
    "warmup",
    "warmup_cosine",
    "warmup_stable_decay",
    "one_cycle",
    "warm_restarts",
    "triangular",
    "join",
    "product",
    "plot_schedule",
    "satisfies_robbins_monro",
    "schedule",
    "PlateauState",
    "tanh_decay",
    "draw_schedule",
]
