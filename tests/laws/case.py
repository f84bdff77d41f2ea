"""One layer under law: what to feed it and what may be expected."""

from typing import NamedTuple

from fdl import nn


class Case(NamedTuple):
    layer: nn.Layer
    shape: tuple  # of one example, without the batch axis
    width_matters: bool = True  # a wrong last axis is an error
    noisy: bool = False
    batched_moments: bool = False  # in training an output depends on the whole batch
    tokens: int = 0  # integer input below this number
