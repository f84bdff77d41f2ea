"""Layers whose shared kernel is zero where it must not look."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fdl.nn.convolution.conv import conv, window_of
from fdl.nn.layer import Layer, layer


@layer
def masked_conv(
    in_dim: int, out_dim: int, window: int | Sequence[int], *, mask: str | ArrayLike, colors: int = 1, **options: Any
) -> Layer:
    """A convolution that uses the kernel only where the mask is true.  (batch, *space, in_dim) -> (batch, ..., out_dim)

    Mask "B" sees cells before its own in raster order and its own, "A", for the first layer, not its own.  With
    `colors` the channels on both sides are so many blocks, and of its own cell a color sees the colors before it, with
    "B" itself too.  A boolean array is (*window) or of the shape of the kernel.  Other options are those of `conv`.
    Masked weights have gradient zero.  https://arxiv.org/abs/1601.06759, section 3.4
    Raises ValueError for a mask of another shape, an even window with "A" or "B", or colors that divide no channels.
    """
    window = window_of(window)
    inner = conv(in_dim, out_dim, window, **options)
    shape = jax.eval_shape(inner.init, jax.random.key(0))[0]["kernel"].shape
    if colors != 1 and (shape[-2] != in_dim or not isinstance(mask, str)):
        raise ValueError('colors are for masks "A" and "B" of a convolution without groups')
    allowed = _causal(mask, window, shape, colors) if isinstance(mask, str) else np.asarray(mask)
    if allowed.dtype != bool or allowed.shape not in (window, shape):
        raise ValueError(f"mask must be boolean, of shape {window} or {shape}, got {allowed.dtype}{allowed.shape}")
    if allowed.shape != shape:
        allowed = np.broadcast_to(allowed[..., None, None], shape)

    def apply(params, state, x, *, key=None, train=False):
        kernel = jnp.where(allowed, params["kernel"], 0)
        return inner.apply(params | {"kernel": kernel}, state, x)

    return Layer(inner.init, apply, is_pure=True)


def _causal(kind: str, window: tuple[int, ...], shape: tuple[int, ...], colors: int) -> np.ndarray:
    """The mask of type A or B: true before the middle of the window, and there by color."""
    if kind not in ("A", "B"):
        raise ValueError(f'mask must be "A", "B" or a boolean array, got {kind!r}')
    if any(w % 2 == 0 for w in window):
        raise ValueError(f"a window with mask {kind!r} needs a cell in the middle, got {window}; make it odd")
    in_dim, out_dim = shape[-2:]
    if colors < 1 or in_dim % colors or out_dim % colors:
        raise ValueError(f"colors must divide the channels of the kernel, got {colors} of {in_dim} and {out_dim}")
    source, target = (np.arange(dim) // (dim // colors) for dim in (in_dim, out_dim))
    mask = np.zeros(shape, bool).reshape(-1, in_dim, out_dim)
    middle = len(mask) // 2
    mask[:middle] = True
    mask[middle] = source[:, None] <= target if kind == "B" else source[:, None] < target
    return mask.reshape(shape)
