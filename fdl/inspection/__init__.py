"""Looking into a model without editing it, and at what optimizers do."""

from fdl.inspection import landscapes
from fdl.inspection.capture import capture
from fdl.inspection.codes import binary_codes, distinct_codes, hamming_distances
from fdl.inspection.dry_run import DryRun, dry_run
from fdl.inspection.features import (
    Gabor,
    extent,
    fit_gabor,
    gabor,
    preferred_input,
    receptive_field,
    saliency,
)
from fdl.inspection.flops import Flops, flops
from fdl.inspection.gradients import gradient_norms
from fdl.inspection.kronecker import kronecker_factors
from fdl.inspection.memory import peak_bytes
from fdl.inspection.nonfinite import NonFinite, find_nonfinite
from fdl.inspection.readout import (
    Readout,
    Separation,
    cka,
    linear_probe,
    linear_readout,
    nearest_neighbours,
    separate,
)
from fdl.inspection.scaling import PowerLaw, fit_power_law
from fdl.inspection.slices import Slice, filter_direction, loss_slice
from fdl.inspection.statistics import Moments, Statistics, statistics
from fdl.inspection.summary import Row, Summary, summary

__all__ = [
    "summary",
    "Summary",
    "Row",
    "flops",
    "Flops",
    "peak_bytes",
    "dry_run",
    "DryRun",
    "capture",
    "statistics",
    "Statistics",
    "Moments",
    "gradient_norms",
    "binary_codes",
    "distinct_codes",
    "hamming_distances",
    "kronecker_factors",
    "loss_slice",
    "filter_direction",
    "Slice",
    "find_nonfinite",
    "NonFinite",
    "landscapes",
    # what can be read out of features
    "linear_probe",
    "linear_readout",
    "Readout",
    "nearest_neighbours",
    "separate",
    "Separation",
    "cka",
    # what units look for
    "saliency",
    "preferred_input",
    "receptive_field",
    "extent",
    "gabor",
    "fit_gabor",
    "Gabor",
    # what size buys
    "fit_power_law",
    "PowerLaw",
]
