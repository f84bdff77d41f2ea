"""Losses: per-example values, with no mean hidden inside.

Classification, divergence and embedding losses sum over the last axis; regression, likelihood and binary losses are
elementwise.  All take `where=`, a boolean array of the shape of the result (of the pixels for segmentation, of the
items for ranking): what is left out is 0 and passes no gradient, whatever it holds.  Penalties are one number.
"""

from fdl.losses.adversarial import gan_discriminator, gan_generator, gradient_penalty
from fdl.losses.alignment import ctc
from fdl.losses.alternatives import generalized_cross_entropy, poly_cross_entropy, sparsemax
from fdl.losses.boxes import box_ciou, box_diou, box_giou, box_iou
from fdl.losses.classification import binary_cross_entropy, cross_entropy, negative_log_likelihood
from fdl.losses.contrast import circle, info_nce, large_margin_cosine, nt_xent
from fdl.losses.divergence import jensen_shannon, kl_divergence
from fdl.losses.embedding import contrastive, cosine_distance, cosine_similarity, triplet
from fdl.losses.focal import asymmetric_binary_cross_entropy, binary_focal_cross_entropy, focal_cross_entropy
from fdl.losses.fused import fused_linear_cross_entropy
from fdl.losses.likelihood import gaussian_nll, poisson_nll
from fdl.losses.margin import (
    exponential,
    hinge,
    hinge_embedding,
    margin_ranking,
    multiclass_hinge,
    multilabel_margin,
    perceptron,
    ranking_softmax,
    soft_margin,
    squared_hinge,
    zero_one,
)
from fdl.losses.pairing import paired
from fdl.losses.penalty import orthogonal_penalty, state_penalty, weight_penalty
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
from fdl.losses.segmentation import dice, generalized_dice, tversky
from fdl.losses.teacher import distillation, feature_distillation
from fdl.losses.variational import gaussian_kl, importance_weighted, negative_elbo

__all__ = [
    # classification
    "asymmetric_binary_cross_entropy",
    "binary_cross_entropy",
    "binary_focal_cross_entropy",
    "cross_entropy",
    "focal_cross_entropy",
    "fused_linear_cross_entropy",
    "generalized_cross_entropy",
    "negative_log_likelihood",
    "poly_cross_entropy",
    "sparsemax",
    # sequences
    "ctc",
    # output layers
    "paired",
    # margins and rankings
    "exponential",
    "hinge",
    "hinge_embedding",
    "margin_ranking",
    "multiclass_hinge",
    "multilabel_margin",
    "perceptron",
    "ranking_softmax",
    "soft_margin",
    "squared_hinge",
    "zero_one",
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
    # hidden variables
    "gaussian_kl",
    "importance_weighted",
    "negative_elbo",
    # adversaries
    "gan_discriminator",
    "gan_generator",
    "gradient_penalty",
    # divergence and distillation
    "distillation",
    "feature_distillation",
    "jensen_shannon",
    "kl_divergence",
    # embeddings
    "circle",
    "contrastive",
    "cosine_distance",
    "cosine_similarity",
    "info_nce",
    "large_margin_cosine",
    "nt_xent",
    "triplet",
    # segmentation and detection
    "box_ciou",
    "box_diou",
    "box_giou",
    "box_iou",
    "dice",
    "generalized_dice",
    "tversky",
    # penalties
    "orthogonal_penalty",
    "state_penalty",
    "weight_penalty",
    # reduction
    "masked_mean",
]
