"""Losses: per-example values, with no mean hidden inside.

Classification, divergence and embedding losses sum over the last axis; regression, likelihood and binary losses are
elementwise.  All take `where=`, a boolean array of the shape of the result (of the pixels for segmentation): what is
left out is 0 and passes no gradient, whatever it holds.
"""

from fdl.losses.classification import binary_cross_entropy, cross_entropy, negative_log_likelihood
from fdl.losses.distillation import distillation
from fdl.losses.divergence import kl_divergence
from fdl.losses.embedding import contrastive, cosine_distance, cosine_similarity, nt_xent, triplet
from fdl.losses.focal import binary_focal_cross_entropy, focal_cross_entropy
from fdl.losses.likelihood import gaussian_nll, poisson_nll
from fdl.losses.margin import hinge, margin_ranking, multiclass_hinge, perceptron, squared_hinge
from fdl.losses.reduction import masked_mean
from fdl.losses.regression import (
    absolute_error,
    absolute_percentage_error,
    huber,
    log_cosh,
    quantile,
    smooth_l1,
    squared_error,
    squared_log_error,
)
from fdl.losses.segmentation import dice, tversky

__all__ = [
    # classification
    "binary_cross_entropy",
    "binary_focal_cross_entropy",
    "cross_entropy",
    "focal_cross_entropy",
    "negative_log_likelihood",
    # margins
    "hinge",
    "margin_ranking",
    "multiclass_hinge",
    "perceptron",
    "squared_hinge",
    # regression
    "absolute_error",
    "absolute_percentage_error",
    "huber",
    "log_cosh",
    "quantile",
    "smooth_l1",
    "squared_error",
    "squared_log_error",
    # likelihoods
    "gaussian_nll",
    "poisson_nll",
    # divergence and distillation
    "distillation",
    "kl_divergence",
    # embeddings
    "contrastive",
    "cosine_distance",
    "cosine_similarity",
    "nt_xent",
    "triplet",
    # segmentation
    "dice",
    "tversky",
    # reduction
    "masked_mean",
]
