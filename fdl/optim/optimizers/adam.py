"""The named optimizers of Adam's family: chains to be read, used or taken apart.

The other arguments of each are those of the direction it begins with.
"""

from typing import Any

from fdl.optim.adaptive.adam_family import (
    scale_by_adabelief,
    scale_by_adamax,
    scale_by_amsgrad,
    scale_by_radam,
    scale_by_yogi,
)
from fdl.optim.adaptive.adopt import scale_by_adopt
from fdl.optim.adaptive.differences import add_difference, scale_by_adan
from fdl.optim.adaptive.mixtures import half_life, scale_by_ademamix, scale_by_simplified_ademamix
from fdl.optim.adaptive.nesterov_adam import scale_by_nadam
from fdl.optim.adaptive.running import BELOW_ONE
from fdl.optim.adaptive.squares import scale_by_adam
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.constraints.proximal_decay import divide_weights
from fdl.optim.gradients.cautious import cautious
from fdl.optim.gradients.clip import clip_by_norm
from fdl.optim.schedules.standard import linear
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_whole, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Where


@transform
def adamax(learning_rate: Hyper = 2e-3, **adamax: Any) -> Transform:
    """Adam in the maximum norm.  https://arxiv.org/abs/1412.6980, algorithm 2

    m ← b1 m + (1 − b1) g;  u ← max(b2 u, |g| + eps);  Δ = −learning_rate m̂ / u
    """
    return chain(scale_by_adamax(**adamax), scale_by_learning_rate(learning_rate))


@transform
def adamaxw(
    learning_rate: Hyper = 2e-3, *, weight_decay: Hyper = 1e-2, where: Where = "**/kernel", **adamax: Any
) -> Transform:
    """Adamax with decoupled weight decay on the kernels, as in `adamw`.  https://arxiv.org/abs/1711.05101

    m ← b1 m + (1 − b1) g;  u ← max(b2 u, |g| + eps);  Δ = −learning_rate (m̂ / u + weight_decay x)
    """
    return _decoupled(scale_by_adamax(**adamax), learning_rate, weight_decay, where)


@transform
def nadam(learning_rate: Hyper = 2e-3, **nadam: Any) -> Transform:
    """Adam with Nesterov's look ahead.  https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²;  μₜ = b1 (1 − 0.96^(t momentum_decay) / 2)
    Δ = −learning_rate (μₜ₊₁ m / (1 − μ₁⋯μₜ₊₁) + (1 − μₜ) g / (1 − μ₁⋯μₜ)) / (√v̂ + eps)
    """
    return chain(scale_by_nadam(**nadam), scale_by_learning_rate(learning_rate))


@transform
def nadamw(
    learning_rate: Hyper = 2e-3, *, weight_decay: Hyper = 1e-2, where: Where = "**/kernel", **nadam: Any
) -> Transform:
    """NAdam with decoupled weight decay on the kernels, as in `adamw`.  https://arxiv.org/abs/1711.05101

    u = the direction of `nadam`;  Δ = −learning_rate (u + weight_decay x)
    """
    return _decoupled(scale_by_nadam(**nadam), learning_rate, weight_decay, where)


@transform
def radam(learning_rate: Hyper = 1e-3, **radam: Any) -> Transform:
    """Adam with a rectified unit, which needs no warm-up.  https://arxiv.org/abs/1908.03265

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²;  n∞ = (1 + b2) / (1 − b2);  n = n∞ − 2 t b2ᵗ / (1 − b2ᵗ)
    ρ² = (n − 4) (n − 2) n∞ / ((n∞ − 4) (n∞ − 2) n)
    Δ = −learning_rate ρ √(1 − b2ᵗ) m̂ / (√v + eps) where n > threshold, before that −learning_rate m̂
    """
    return chain(scale_by_radam(**radam), scale_by_learning_rate(learning_rate))


@transform
def amsgrad(learning_rate: Hyper = 1e-3, **amsgrad: Any) -> Transform:
    """Adam whose units never shrink.  https://arxiv.org/abs/1904.09237

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²;  w ← max(w, v);  Δ = −learning_rate m̂ / (√ŵ + eps)
    """
    return chain(scale_by_amsgrad(**amsgrad), scale_by_learning_rate(learning_rate))


@transform
def adabelief(learning_rate: Hyper = 1e-3, **adabelief: Any) -> Transform:
    """Adam by the distance of gradients from their mean.  https://arxiv.org/abs/2010.07468

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) (g − m)² + eps;  Δ = −learning_rate m̂ / (√v̂ + eps)
    """
    return chain(scale_by_adabelief(**adabelief), scale_by_learning_rate(learning_rate))


@transform
def yogi(learning_rate: Hyper = 1e-2, **yogi: Any) -> Transform:
    """Adam whose unit moves slowly both ways.  https://doi.org/10.5555/3327546.3327647

    m ← b1 m + (1 − b1) g;  v ← v − (1 − b2) sign(v − g²) g²;  Δ = −learning_rate m / (√v + eps)
    """
    return chain(scale_by_yogi(**yogi), scale_by_learning_rate(learning_rate))


@transform
def adan(
    learning_rate: Hyper = 1e-3, *, weight_decay: Hyper = 2e-2, where: Where = "**/kernel", **adan: Any
) -> Transform:
    """Adaptive Nesterov momentum with proximal weight decay on the kernels.  https://arxiv.org/abs/2208.06677

    d = g − g';  m ← b1 m + (1 − b1) g;  n ← b2 n + (1 − b2) d;  v ← b3 v + (1 − b3) (g + b2 d)²
    x ← (x − learning_rate (m̂ + b2 n̂) / (√v̂ + eps)) / (1 + learning_rate weight_decay)
    """
    decay = divide_weights(weight_decay, learning_rate, where)
    return chain(scale_by_adan(**adan), scale_by_learning_rate(learning_rate), decay)


@transform
def adopt(learning_rate: Hyper = 1e-3, **adopt: Any) -> Transform:
    """Adam that converges with any b2.  https://arxiv.org/abs/2411.02853

    u = g / max(√v, eps), within ±(t − 1)^clip_power;  m ← b1 m + (1 − b1) u;  v ← b2 v + (1 − b2) g²
    Δ = −learning_rate m
    """
    return chain(scale_by_adopt(**adopt), scale_by_learning_rate(learning_rate))


@transform
def ademamix(
    learning_rate: Hyper = 1e-3,
    *,
    weight_decay: Hyper = 1e-2,
    where: Where = "**/kernel",
    b1: float = 0.9,
    b3: Hyper = 0.9999,
    alpha: Hyper = 5.0,
    warmup: int | None = None,
    **ademamix: Any,
) -> Transform:
    """Adam with a slow mean beside its own, and decoupled weight decay on the kernels.

    m ← b1 m + (1 − b1) g;  n ← b3 n + (1 − b3) g;  v ← b2 v + (1 − b2) g²
    Δ = −learning_rate ((m̂ + alpha n) / (√v̂ + eps) + weight_decay x)

    In the steps of warmup alpha grows from 0 and the half-life of b3 from that of b1: the paper takes as many as the
    run has.  https://arxiv.org/abs/2409.03137
    """
    if warmup is not None:
        require_whole("warmup", warmup)
        if not isinstance(b3, float | int) or not isinstance(alpha, float | int):
            raise ValueError("warmup makes schedules of b3 and alpha, which must be numbers; leave one of them out")
        b3, alpha = half_life(b1, b3, warmup), linear(alpha / warmup, alpha, max(warmup - 1, 1))
    direction = scale_by_ademamix(b1, b3=b3, alpha=alpha, **ademamix)
    return _decoupled(direction, learning_rate, weight_decay, where)


@transform
def simplified_ademamix(
    learning_rate: Hyper = 1e-5, *, weight_decay: Hyper = 1e-2, where: Where = "**/kernel", **ademamix: Any
) -> Transform:
    """AdEMAMix with one memory for both means.  https://arxiv.org/abs/2502.02431

    m ← b1 m + g;  v ← b2 v + (1 − b2) g²;  Δ = −learning_rate ((m + alpha g) / (√v̂ + eps) + weight_decay x)
    """
    return _decoupled(scale_by_simplified_ademamix(**ademamix), learning_rate, weight_decay, where)


@transform
def mars(
    learning_rate: Hyper = 3e-3,
    *,
    weight_decay: Hyper = 1e-2,
    where: Where = "**/kernel",
    gamma: float = 0.025,
    exact: bool = False,
    b1: float = 0.95,
    b2: float = 0.99,
    eps: float = 1e-8,
) -> Transform:
    """AdamW on gradients of reduced variance, every array clipped to norm 1.  https://arxiv.org/abs/2411.10438

    c = g + gamma b1 / (1 − b1) (g − g');  c ← c / max(1, |c|);  m ← b1 m + (1 − b1) c;  v ← b2 v + (1 − b2) c²
    Δ = −learning_rate (m̂ / (√v̂ + eps) + weight_decay x)

    exact=True takes two gradients in each step, on the same batch; else the last gradient stands for the second.
    """
    require_constant("gamma", gamma, 0.0)
    require_constant("b1", b1, 0.0, BELOW_ONE)
    corrected = chain(add_difference(gamma * b1 / (1 - b1), exact=exact), clip_by_norm(1.0))
    return _decoupled(chain(corrected, scale_by_adam(b1, b2, eps)), learning_rate, weight_decay, where)


@transform
def cautious_adamw(
    learning_rate: Hyper = 1e-3, *, weight_decay: Hyper = 1e-2, where: Where = "**/kernel", **adam: Any
) -> Transform:
    """AdamW that moves only where its direction agrees with the gradient.  https://arxiv.org/abs/2411.16085

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²;  u = m̂ / (√v̂ + eps)
    u ← u n / (kept + 1) where u g > 0, else 0;  Δ = −learning_rate (u + weight_decay x)
    """
    return _decoupled(cautious(scale_by_adam(**adam)), learning_rate, weight_decay, where)


def _decoupled(direction: Transform, learning_rate: Hyper, weight_decay: Hyper, where: Where) -> Transform:
    return chain(direction, add_weight_decay(weight_decay, where), scale_by_learning_rate(learning_rate))
