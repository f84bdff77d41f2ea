"""Systems of the course, one file each: a value for what is fixed, pure functions of (params, key) for the rest."""

from fdl.models.contrastive_divergence import (
    contrast,
    contrastive_divergence,
    init_with_chains,
    persistent_contrastive_divergence,
)
from fdl.models.dbn import generation, greedy, mean_up, rbm_stack, recognised, recognition, untied, up_down
from fdl.models.deep_autoencoder import as_net, deep_autoencoder, logistic_net, unrolled
from fdl.models.partition import LogPartition, annealed_importance_sampling, log_partition
from fdl.models.pca import PCA, LogisticPCA, fit_logistic_pca, fit_pca
from fdl.models.pretraining import fit_rbm, rbm_optimizer
from fdl.models.rbm import RBM, label_scores
from fdl.models.units import BINARY, GAUSSIAN, SOFTMAX, UnitKind, side_by_side

__all__ = [
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
