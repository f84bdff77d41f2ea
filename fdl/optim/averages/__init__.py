"""Optimizers around optimizers that look at more than one point: averages, slow weights, the neighbourhood."""

from fdl.optim.averages.averaging import AverageState, average_params, averaged, polynomial_average, rising_decay, swa
from fdl.optim.averages.lookahead import LookaheadState, lookahead
from fdl.optim.averages.schedule_free import ScheduleFreeState, schedule_free, schedule_free_adamw, schedule_free_sgd
from fdl.optim.averages.sharpness import asam, sam
from fdl.optim.averages.targets import incremental_update, periodic_update

__all__ = [
    "polynomial_average",
    "swa",
    "LookaheadState",
    "lookahead",
    "ScheduleFreeState",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "asam",
    "sam",
    "averaged",
    "average_params",
    "AverageState",
    "rising_decay",
    "incremental_update",
    "periodic_update",
]
