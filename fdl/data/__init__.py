"""Data: examples are a pytree of arrays, and batch number k is a pure function of (seed, k)."""

from fdl.data.batches import Batches, in_order, shuffled, to_device
from fdl.data.checks import LabelError, check_labels
from fdl.data.cifar import CifarError, cifar10, cifar10_examples
from fdl.data.curves import curves
from fdl.data.duplicates import duplicates
from fdl.data.fetch import FetchError, fetch
from fdl.data.idx import IdxError, read_idx, write_idx
from fdl.data.kinship import family_trees
from fdl.data.ledger import OpenedError, open_once
from fdl.data.order import indices, permute, steps_per_epoch
from fdl.data.png import PngError, read_png, write_png
from fdl.data.prefetch import prefetch
from fdl.data.rings import rings, to_polar
from fdl.data.shapes import shapes
from fdl.data.sources import Dataset, Examples, digits, fashion_mnist, idx_examples, mnist
from fdl.data.split import Moments, fit_moments, hold_out, k_folds, split, standardise
from fdl.data.text import tiny_shakespeare

__all__ = [
    # data sets
    "Dataset",
    "Examples",
    "cifar10",
    "cifar10_examples",
    "curves",
    "digits",
    "family_trees",
    "fashion_mnist",
    "idx_examples",
    "mnist",
    "rings",
    "shapes",
    "tiny_shakespeare",
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
    "k_folds",
    "split",
    "standardise",
    "to_polar",
    # the test set
    "duplicates",
    "open_once",
    # files
    "fetch",
    "read_idx",
    "read_png",
    "write_idx",
    "write_png",
    # errors
    "CifarError",
    "FetchError",
    "IdxError",
    "LabelError",
    "PngError",
    "OpenedError",
]
