"""Layers that are products and tables."""

from fdl.nn.linear.bilinear import bilinear
from fdl.nn.linear.dense import dense, maxout, parameter
from fdl.nn.linear.einsum import einsum
from fdl.nn.linear.embedding import embedding, unembed
from fdl.nn.linear.gated import gated_mlp, mlp
from fdl.nn.linear.patch import patch_embedding
from fdl.nn.linear.scale import layer_scale, squeeze_excite

__all__ = [
    "dense",
    "einsum",
    "bilinear",
    "maxout",
    "mlp",
    "gated_mlp",
    "parameter",
    "embedding",
    "unembed",
    "patch_embedding",
    "layer_scale",
    "squeeze_excite",
]
