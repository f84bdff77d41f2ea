"""The sizes of a transposed convolution: from positions back to space."""

from collections.abc import Sequence

from fdl.checks import ShapeError
from fdl.nn.pooling.window import Padding, padding_pairs

Sizes = tuple[int, ...]


def output_paddings(
    output_padding: int | Sequence[int], stride: Sizes, dilation: Sizes, padding: Padding
) -> tuple[int, ...]:
    """Cells beyond the smallest space, per axis.  Raises ValueError where no convolution has so many."""
    each = (output_padding,) * len(stride) if isinstance(output_padding, int) else tuple(output_padding)
    if len(each) != len(stride) or not all(0 <= n < max(s, d) for n, s, d in zip(each, stride, dilation)):
        raise ValueError(
            "output_padding must be 0 or more and below the larger of stride and dilation on every axis, got "
            f"{output_padding} with stride {stride} and dilation {dilation}"
        )
    if padding == "same" and any(each):
        raise ValueError(
            f'padding "same" makes positions * stride cells, so output_padding must be 0, got {output_padding}; '
            "give the padding in numbers"
        )
    return each


def transposed_space(
    positions: Sizes, window: Sizes, stride: Sizes, dilation: Sizes, padding: Padding, extra: Sizes
) -> tuple[Sizes, tuple[tuple[int, int], ...]]:
    """The space that a convolution takes to these positions, and its padding.  Raises ShapeError when it is empty."""
    if padding == "same":
        space = tuple(n * s for n, s in zip(positions, stride))
        return space, padding_pairs(padding, space, window, stride, dilation)
    pads = padding_pairs(padding, positions, window, stride, dilation)
    axes = zip(positions, window, stride, dilation, pads, extra)
    space = tuple((n - 1) * s + (w - 1) * d + 1 - low - high + e for n, w, s, d, (low, high), e in axes)
    if min(space) < 1:
        raise ShapeError(f"padding {pads} leaves nothing of positions {positions} under window {window}; pad less")
    # Whole strides of extra cells would be positions of their own: the window must not slide over them.
    return space, tuple((low, high - e // s * s) for (low, high), e, s in zip(pads, extra, stride))
