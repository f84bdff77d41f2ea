"""Directions by running means of gradients, their squares and their signs."""

from fdl.optim.adaptive.acprop import acprop, scale_by_acprop
from fdl.optim.adaptive.adam_family import (
    AdamaxState,
    AMSGradState,
    scale_by_adabelief,
    scale_by_adamax,
    scale_by_amsgrad,
    scale_by_radam,
    scale_by_yogi,
)
from fdl.optim.adaptive.adopt import scale_by_adopt
from fdl.optim.adaptive.differences import AdanState, DifferenceState, add_difference, scale_by_adan
from fdl.optim.adaptive.dual_averaging import MadgradState, madgrad
from fdl.optim.adaptive.ftrl import FTRLState, ftrl
from fdl.optim.adaptive.laprop import CorrectedSquareState, RunningMeanState, laprop, running_mean, scale_by_squares
from fdl.optim.adaptive.larc import larc, scale_by_larc
from fdl.optim.adaptive.large_batch import NovoGradState, scale_by_lars, scale_by_novograd, scale_by_trust_ratio
from fdl.optim.adaptive.mixtures import AdEMAMixState, half_life, scale_by_ademamix, scale_by_simplified_ademamix
from fdl.optim.adaptive.nesterov_adam import NAdamState, scale_by_nadam
from fdl.optim.adaptive.second_moment import AdafactorState, scale_by_adafactor, scale_by_adam_mini, scale_by_sm3
from fdl.optim.adaptive.sign import LionState, RPropState, scale_by_lion, scale_by_rprop, scale_by_sign
from fdl.optim.adaptive.size import relative_step, scale_by_param_norm, scale_by_param_rms
from fdl.optim.adaptive.squares import (
    AdadeltaState,
    AdamState,
    CenteredState,
    SquareState,
    scale_by_adadelta,
    scale_by_adagrad,
    scale_by_adam,
    scale_by_rmsprop,
)

__all__ = [
    "madgrad",
    "scale_by_rprop",
    "scale_by_rmsprop",
    "scale_by_adagrad",
    "scale_by_adadelta",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_nadam",
    "scale_by_radam",
    "scale_by_amsgrad",
    "scale_by_adabelief",
    "scale_by_yogi",
    "scale_by_adan",
    "scale_by_adopt",
    "scale_by_ademamix",
    "scale_by_simplified_ademamix",
    "scale_by_sign",
    "scale_by_lion",
    "scale_by_lars",
    "scale_by_trust_ratio",
    "scale_by_novograd",
    "scale_by_adafactor",
    "scale_by_sm3",
    "scale_by_adam_mini",
    "add_difference",
    "scale_by_param_rms",
    "half_life",
    "relative_step",
    "RPropState",
    "SquareState",
    "AdadeltaState",
    "AdamState",
    "AdamaxState",
    "AMSGradState",
    "NAdamState",
    "AdanState",
    "DifferenceState",
    "AdEMAMixState",
    "MadgradState",
    "NovoGradState",
    "AdafactorState",
    "LionState",
    "CenteredState",
    "laprop",
    "acprop",
    "ftrl",
    "larc",
    "running_mean",
    "scale_by_squares",
    "scale_by_acprop",
    "scale_by_larc",
    "scale_by_param_norm",
    "RunningMeanState",
    "CorrectedSquareState",
    "FTRLState",
]
