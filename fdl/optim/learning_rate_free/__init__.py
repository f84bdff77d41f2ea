"""Optimizers that find their own step size."""

from fdl.optim.learning_rate_free.coin import CocobState, cocob
from fdl.optim.learning_rate_free.d_adaptation import DAdaptState, ProdigyState, dadapt_adamw, prodigy
from fdl.optim.learning_rate_free.distance import DistanceState, dog, dowg, scale_by_dog, scale_by_dowg
from fdl.optim.learning_rate_free.mechanic import MechanicState, mechanic
from fdl.optim.learning_rate_free.momo import MoMoState, momo, momo_adam, polyak_sgd

__all__ = [
    "CocobState",
    "cocob",
    "DAdaptState",
    "ProdigyState",
    "dadapt_adamw",
    "prodigy",
    "DistanceState",
    "dog",
    "dowg",
    "scale_by_dog",
    "scale_by_dowg",
    "MechanicState",
    "mechanic",
    "MoMoState",
    "momo",
    "momo_adam",
    "polyak_sgd",
]
