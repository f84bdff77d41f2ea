"""Losses: per-example values, with no mean hidden inside.

Classification and divergence losses sum over the class axis, regression losses are elementwise.  All take
`where=`, a boolean array of the shape of the result: what is left out is 0 and passes no gradient, whatever it holds.
"""

from fdl.losses.classification import binary_cross_entropy, cross_entropy
from fdl.losses.divergence import kl_divergence
from fdl.losses.reduction import masked_mean
from fdl.losses.regression import absolute_error, huber, squared_error

__all__ = [
    # classification
    "binary_cross_entropy",
    "cross_entropy",
    # regression
    "absolute_error",
    "huber",
    "squared_error",
    # divergence
    "kl_divergence",
    # reduction
    "masked_mean",
]
