"""Transforms around transforms: groups of parameters, numbers in the state, guards, few bits."""

from fdl.optim.wrappers.groups import GroupsState, freeze, group_table, groups
from fdl.optim.wrappers.guard import SkipState, skip_large, skip_non_finite
from fdl.optim.wrappers.hyper import HyperState, hyper, hyper_values, set_hyper
from fdl.optim.wrappers.loss_scale import LossScaleState, loss_scale, scale_loss
from fdl.optim.wrappers.monitor import MonitorState, monitor, monitored
from fdl.optim.wrappers.precision import (
    KahanState,
    MasterState,
    RoundingState,
    kahan,
    master_weights,
    stochastic_rounding,
)
from fdl.optim.wrappers.steps import MultiStepsState, multi_steps
from fdl.optim.wrappers.views import flattened, split_complex
from fdl.optim.wrappers.when import WhenState, named_chain, when

__all__ = [
    "freeze",
    "groups",
    "group_table",
    "hyper",
    "hyper_values",
    "set_hyper",
    "skip_non_finite",
    "skip_large",
    "master_weights",
    "kahan",
    "stochastic_rounding",
    "scale_loss",
    "loss_scale",
    "GroupsState",
    "HyperState",
    "KahanState",
    "LossScaleState",
    "MasterState",
    "RoundingState",
    "SkipState",
    "multi_steps",
    "when",
    "named_chain",
    "monitor",
    "monitored",
    "flattened",
    "split_complex",
    "MultiStepsState",
    "WhenState",
    "MonitorState",
]
