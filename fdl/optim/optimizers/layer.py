"""The named optimizers that measure a step by whole arrays: their norms, rows, blocks."""

import math
from typing import Any

from fdl.optim.adaptive.large_batch import scale_by_lars, scale_by_novograd, scale_by_trust_ratio
from fdl.optim.adaptive.second_moment import scale_by_adafactor, scale_by_adam_mini, scale_by_sm3
from fdl.optim.adaptive.size import relative_step, scale_by_param_rms
from fdl.optim.adaptive.squares import scale_by_adam
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.gradients.cautious import tangential
from fdl.optim.gradients.clip import clip_by_block_rms
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_number, transform
from fdl.optim.velocity import accumulate, scale_by_learning_rate
from fdl.tree import Where


@transform
def lars(
    learning_rate: Hyper,
    momentum: Hyper = 0.9,
    *,
    weight_decay: float = 1e-4,
    coefficient: float = 1e-3,
    where: Where = "**/kernel",
) -> Transform:
    """Heavy ball with a rate for each kernel, by its norm; the rest is plain heavy ball.

    u = coefficient |x| / (|g| + weight_decay |x|) (g + weight_decay x);  v ← momentum v − learning_rate u;  Δ = v

    https://arxiv.org/abs/1708.03888
    """
    direction = scale_by_lars(coefficient, weight_decay=weight_decay, where=where)
    return chain(direction, scale_by_learning_rate(learning_rate), accumulate(momentum))


@transform
def lamb(
    learning_rate: Hyper = 1e-3,
    *,
    weight_decay: Hyper = 1e-2,
    where: Where = "**/kernel",
    low: float = 0.0,
    high: float = math.inf,
    **adam: Any,
) -> Transform:
    """AdamW whose step on each kernel has the kernel's norm; the other arguments are those of `scale_by_adam`.

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²;  u = m̂ / (√v̂ + eps) + weight_decay x
    Δ = −learning_rate |x| / |u| u, with |x| within [low, high]

    low and high bound the norm.  The other arrays move as in Adam.  https://arxiv.org/abs/1904.00962
    """
    direction = chain(scale_by_adam(**{"eps": 1e-6, **adam}), add_weight_decay(weight_decay, where))
    measured = chain(direction, scale_by_trust_ratio(low=low, high=high, where=where))
    return chain(measured, scale_by_learning_rate(learning_rate))


@transform
def novograd(
    learning_rate: Hyper = 1e-2,
    *,
    b1: float = 0.95,
    weight_decay: Hyper = 1e-3,
    where: Where = "**/kernel",
    average: bool = False,
    **novograd: Any,
) -> Transform:
    """Momentum of gradients divided by the norms of their arrays; the other arguments are those of `scale_by_novograd`.

    v ← b2 v + (1 − b2) |g|²;  m ← b1 m + g / (√v + eps) + weight_decay x;  Δ = −learning_rate m

    Weight decay enters the momentum.  average=True weighs what enters by 1 - b1.  https://arxiv.org/abs/1905.11286
    """
    require_number("b1", b1, 0.0, 1.0)
    direction = chain(scale_by_novograd(**novograd), add_weight_decay(weight_decay, where))
    return chain(direction, accumulate(b1, average=average), scale_by_learning_rate(learning_rate))


@transform
def adafactor(
    learning_rate: Hyper = relative_step(1e-2),
    *,
    clip: float = 1.0,
    low: float = 1e-3,
    by_size: bool = True,
    **adafactor: Any,
) -> Transform:
    """Adam's units in the memory of rows and columns; the other arguments are those of `scale_by_adafactor`.

    d = 1 − t^−power;  r, c ← d r, d c + (1 − d) means of g² + eps over columns, rows;  u = g / √(r cᵀ / mean(r))
    Δ = −learning_rate max(low, rms(x)) u / max(1, rms(u) / clip)

    Updates are clipped to this root mean square and, by_size, multiplied by that of the parameters, or by low.
    torch's learning rate e is relative_step(e), the paper's has e = 0.01.  https://arxiv.org/abs/1804.04235
    """
    require_number("clip", clip, 0.0)
    direction = chain(scale_by_adafactor(**adafactor), clip_by_block_rms(clip))
    sized = chain(direction, scale_by_param_rms(low)) if by_size else direction
    return chain(sized, scale_by_learning_rate(learning_rate))


@transform
def sm3(learning_rate: Hyper = 0.1, momentum: Hyper = 0.9, *, first: bool = False) -> Transform:
    """Adagrad in the memory of rows and columns, with averaging momentum.  https://arxiv.org/abs/1901.11150

    v = min over axes n + g²;  n ← max of v over all entries of a row, of a column
    m ← momentum m + (1 − momentum) g / √v;  Δ = −learning_rate m
    """
    direction = chain(scale_by_sm3(first=first), accumulate(momentum, average=True))
    return chain(direction, scale_by_learning_rate(learning_rate))


@transform
def adam_mini(
    learning_rate: Hyper = 1e-3, *, weight_decay: Hyper = 1e-2, where: Where = "**/kernel", **adam_mini: Any
) -> Transform:
    """AdamW with a unit for each block; the other arguments are those of `scale_by_adam_mini`.

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) mean of g² over a block
    Δ = −learning_rate (m̂ / (√v̂ + eps) + weight_decay x)

    https://arxiv.org/abs/2406.16793
    """
    direction = chain(scale_by_adam_mini(**adam_mini), add_weight_decay(weight_decay, where))
    return chain(direction, scale_by_learning_rate(learning_rate))


@transform
def adamp(
    learning_rate: Hyper = 1e-3,
    *,
    weight_decay: Hyper = 0.0,
    where: Where = "**/kernel",
    delta: float = 0.1,
    **adam: Any,
) -> Transform:
    """AdamW that does not lengthen kernels in front of a normalization.  https://arxiv.org/abs/2006.08217

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²;  u = m̂ / (√v̂ + eps)
    u ← u − ⟨u, x⟩ x / |x|² where |cos(x, g)| < delta / √n;  Δ = −learning_rate (u + weight_decay x)

    The other arguments are those of `scale_by_adam`.
    """
    direction = tangential(scale_by_adam(**adam), delta, where)
    return chain(direction, add_weight_decay(weight_decay, where), scale_by_learning_rate(learning_rate))


@transform
def sgdp(
    learning_rate: Hyper,
    momentum: Hyper = 0.9,
    *,
    nesterov: bool = False,
    weight_decay: Hyper = 0.0,
    where: Where = "**/kernel",
    delta: float = 0.1,
) -> Transform:
    """SGD with momentum that does not lengthen kernels in front of a normalization.  https://arxiv.org/abs/2006.08217

    v ← momentum v + g;  u = v, or with nesterov g + momentum v
    u ← u − ⟨u, x⟩ x / |x|² where |cos(x, g)| < delta / √n;  Δ = −learning_rate (u + weight_decay x)
    """
    direction = tangential(accumulate(momentum, nesterov=nesterov), delta, where)
    return chain(direction, add_weight_decay(weight_decay, where), scale_by_learning_rate(learning_rate))


@transform
def fromage(learning_rate: float = 1e-2) -> Transform:
    """Steps of every array in proportion to its norm, which they do not lengthen.  https://arxiv.org/abs/2002.03432

    x ← (x − learning_rate |x| / |g| g) / √(1 + learning_rate²)
    """
    require_constant("learning_rate", learning_rate, math.ulp(0.0))
    root = math.hypot(1.0, learning_rate)
    shrink = learning_rate / (root + 1)  # (root - 1) / learning_rate without its cancellation
    direction = chain(scale_by_trust_ratio(where="**"), add_weight_decay(shrink, "**"))
    return chain(direction, scale_by_learning_rate(learning_rate / root))
