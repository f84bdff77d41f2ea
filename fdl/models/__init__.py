"""Systems of the lecture, each a small file to be read."""

from fdl.models import tape
from fdl.models.backpropagation import Group, activities, backpropagate, unit_groups
from fdl.models.deep import deep_classifier, highway_block, normalised_block, plain_block, residual_block

__all__ = [
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
]
