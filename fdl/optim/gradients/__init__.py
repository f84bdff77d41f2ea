"""What is done to gradients before anything else, and to directions after: clipped, normalised, noisy, cautious."""

from fdl.optim.gradients.cautious import cautious, tangential
from fdl.optim.gradients.clip import adaptive_clip, clip_by_block_rms, clip_by_global_norm, clip_by_norm, clip_by_value
from fdl.optim.gradients.noise import add_noise
from fdl.optim.gradients.normalize import centralize, normalize_by_norm, zero_non_finite
from fdl.optim.gradients.per_example import clip_per_example, fisher_diagonal, private_mean
from fdl.optim.gradients.perturbed import perturbed
from fdl.optim.gradients.scale import scale_by, scale_gradient

__all__ = [
    "clip_by_value",
    "clip_by_norm",
    "clip_by_global_norm",
    "clip_by_block_rms",
    "adaptive_clip",
    "centralize",
    "normalize_by_norm",
    "zero_non_finite",
    "add_noise",
    "cautious",
    "tangential",
    "clip_per_example",
    "private_mean",
    "fisher_diagonal",
    "perturbed",
    "scale_by",
    "scale_gradient",
]
