"""What a unit looks for: its gradients, the inputs that it sees and likes, and filters as Gabor functions."""

from fdl.inspection.features.gabor import Gabor, fit_gabor, gabor
from fdl.inspection.features.preferred import preferred_input
from fdl.inspection.features.receptive_field import extent, receptive_field
from fdl.inspection.features.saliency import saliency

__all__ = ["saliency", "preferred_input", "receptive_field", "extent", "gabor", "fit_gabor", "Gabor"]
