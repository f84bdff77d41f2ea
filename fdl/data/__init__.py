"""Data: examples are a pytree of arrays, and batch number k is a pure function of (seed, k)."""

from fdl.data.batches import Batches, in_order, shuffled, to_device
from fdl.data.checks import LabelError, check_labels
from fdl.data.curves import curves
from fdl.data.fetch import FetchError, fetch
from fdl.data.idx import IdxError, read_idx, write_idx
from fdl.data.order import indices, permute, steps_per_epoch
from fdl.data.prefetch import prefetch
from fdl.data.sources import Dataset, Examples, digits, fashion_mnist, idx_examples, mnist
from fdl.data.split import Moments, fit_moments, hold_out, split, standardise

__all__ = [
    # data sets
    "Dataset",
    "Examples",
    "curves",
    "digits",
    "fashion_mnist",
    "idx_examples",
    "mnist",
    # order and batches
    "Batches",
    "in_order",
    "indices",
    "permute",
    "prefetch",
    "shuffled",
    "steps_per_epoch",
    "to_device",
    # preparation
    "Moments",
    "check_labels",
    "fit_moments",
    "hold_out",
    "split",
    "standardise",
    # files
    "fetch",
    "read_idx",
    "write_idx",
    # errors
    "FetchError",
    "IdxError",
    "LabelError",
]
