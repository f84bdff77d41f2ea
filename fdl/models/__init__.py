"""The systems of the lecture, one file each: what its people built, in a form to be read."""

from fdl.models import tape
from fdl.models.adaline import (
    adaline,
    correlation,
    lms_update,
    madaline,
    minimum_disturbance_update,
    misadjustment,
    time_constants,
)
from fdl.models.approximator import interpolant, interpolation_bound, shallow_net
from fdl.models.backpropagation import Group, activities, backpropagate, unit_groups
from fdl.models.contrastive_divergence import (
    contrast,
    contrastive_divergence,
    init_with_chains,
    persistent_contrastive_divergence,
)
from fdl.models.dbn import generation, greedy, mean_up, rbm_stack, recognised, recognition, untied, up_down
from fdl.models.deep import deep_classifier, highway_block, normalised_block, plain_block, residual_block
from fdl.models.deep_autoencoder import as_net, deep_autoencoder, logistic_net, unrolled
from fdl.models.neuron import Neuron, firing_rate, rheobase, simulate, spike, spiking_net
from fdl.models.no_free_lunch import all_splits, all_targets, majority, nearest_neighbour, right_off_training
from fdl.models.online import Learnt, learn_online, with_bias
from fdl.models.partition import LogPartition, annealed_importance_sampling, log_partition
from fdl.models.pca import PCA, LogisticPCA, fit_logistic_pca, fit_pca
from fdl.models.perceptron import multiclass_perceptron_update, perceptron_update, vote
from fdl.models.pretraining import fit_rbm, rbm_optimizer
from fdl.models.rbm import RBM, label_scores
from fdl.models.threshold import Units, all_inputs, all_of, any_of, compile_table, exclusive_or, fire, none_of
from fdl.models.units import BINARY, GAUSSIAN, SOFTMAX, UnitKind, side_by_side

__all__ = [
    # neuron
    "Neuron",
    "firing_rate",
    "rheobase",
    "simulate",
    "spike",
    "spiking_net",
    # threshold
    "Units",
    "all_inputs",
    "all_of",
    "any_of",
    "compile_table",
    "exclusive_or",
    "fire",
    "none_of",
    # online
    "Learnt",
    "learn_online",
    "with_bias",
    # perceptron
    "multiclass_perceptron_update",
    "perceptron_update",
    "vote",
    # adaline
    "adaline",
    "correlation",
    "lms_update",
    "madaline",
    "minimum_disturbance_update",
    "misadjustment",
    "time_constants",
    # approximator
    "interpolant",
    "interpolation_bound",
    "shallow_net",
    # no_free_lunch
    "all_splits",
    "all_targets",
    "majority",
    "nearest_neighbour",
    "right_off_training",
    # tape
    "tape",
    # backpropagation
    "Group",
    "unit_groups",
    "activities",
    "backpropagate",
    # deep
    "deep_classifier",
    "plain_block",
    "residual_block",
    "highway_block",
    "normalised_block",
    # units
    "BINARY",
    "GAUSSIAN",
    "SOFTMAX",
    "UnitKind",
    "side_by_side",
    # rbm
    "RBM",
    "label_scores",
    # contrastive_divergence
    "contrast",
    "contrastive_divergence",
    "init_with_chains",
    "persistent_contrastive_divergence",
    # partition
    "LogPartition",
    "annealed_importance_sampling",
    "log_partition",
    # dbn
    "generation",
    "greedy",
    "mean_up",
    "rbm_stack",
    "recognised",
    "recognition",
    "untied",
    "up_down",
    # deep_autoencoder
    "as_net",
    "deep_autoencoder",
    "logistic_net",
    "unrolled",
    # pretraining
    "fit_rbm",
    "rbm_optimizer",
    # pca
    "LogisticPCA",
    "PCA",
    "fit_logistic_pca",
    "fit_pca",
]
