"""Metrics: sums that are gathered batch by batch and read at the end, so that any split of the data gives the same.

    init()                            -> sums
    update(sums, *args, where=None)   -> sums
    compute(sums)                     -> value

Sums are pytrees that add: those of shards and batches merge by `jax.tree.map(operator.add, a, b)`.  Counts are integers
(int32 on the device unless 64-bit types are enabled), so they are exact; for more than 2³¹ examples add the sums of
the steps up as Python or NumPy numbers, which `compute` takes as well.  `where` is a boolean mask of the shape of the
labels or values: what it leaves out counts in no way, whatever it holds.
"""

from fdl.metrics.calibration import Confidence, ensemble_logits, expected_calibration_error, fit_temperature
from fdl.metrics.classification import Confusion, accuracy, confusion_matrix, correct, top_k
from fdl.metrics.correlation import Pairs, concordance_correlation, pearson_correlation
from fdl.metrics.curves import (
    Scores,
    area_under_curve,
    average_precision,
    precision_at_recall,
    recall_at_precision,
    sensitivity_at_specificity,
)
from fdl.metrics.intervals import Interval, McNemar, bootstrap_interval, mcnemar, wilson_interval
from fdl.metrics.overlap import Tally, f_score, intersection_over_union, precision, recall
from fdl.metrics.regression import Moments, r_squared
from fdl.metrics.sums import Average, Metric, mean, metric, perplexity
from fdl.metrics.translation import Matches, bleu

__all__ = [
    "Metric",
    "metric",
    "mean",
    "perplexity",
    # classes
    "accuracy",
    "correct",
    "top_k",
    "confusion_matrix",
    "precision",
    "recall",
    "f_score",
    "intersection_over_union",
    # probabilities
    "area_under_curve",
    "average_precision",
    "ensemble_logits",
    "expected_calibration_error",
    "fit_temperature",
    "precision_at_recall",
    "recall_at_precision",
    "sensitivity_at_specificity",
    # numbers
    "concordance_correlation",
    "pearson_correlation",
    "r_squared",
    # sentences
    "bleu",
    # how sure a number is
    "bootstrap_interval",
    "mcnemar",
    "wilson_interval",
    # sums
    "Average",
    "Confidence",
    "Confusion",
    "Interval",
    "Matches",
    "McNemar",
    "Moments",
    "Pairs",
    "Scores",
    "Tally",
]
