"""The named optimizers that step by signs."""

from typing import Any

from fdl.optim.adaptive.differences import add_difference
from fdl.optim.adaptive.running import BELOW_ONE
from fdl.optim.adaptive.sign import scale_by_lion, scale_by_sign
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.gradients.cautious import cautious
from fdl.optim.gradients.clip import clip_by_norm
from fdl.optim.transform import Hyper, Transform, chain, require_constant, transform
from fdl.optim.velocity import accumulate, scale_by_learning_rate
from fdl.tree import Where


@transform
def sign_sgd(learning_rate: Hyper = 1e-3) -> Transform:
    """Steps of one size by the sign of the gradient.  https://proceedings.mlr.press/v80/bernstein18a.html

    Δ = −learning_rate sign(g)
    """
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


@transform
def signum(learning_rate: Hyper = 1e-3, momentum: Hyper = 0.9) -> Transform:
    """Steps by the sign of the running mean.  https://proceedings.mlr.press/v80/bernstein18a.html

    m ← momentum m + (1 − momentum) g;  Δ = −learning_rate sign(m)
    """
    return chain(accumulate(momentum, average=True), scale_by_sign(), scale_by_learning_rate(learning_rate))


@transform
def lion(
    learning_rate: Hyper = 1e-4, *, weight_decay: Hyper = 1e-1, where: Where = "**/kernel", **lion: Any
) -> Transform:
    """Lion with decoupled weight decay on the kernels.  https://arxiv.org/abs/2302.06675

    u = sign(b1 m + (1 − b1) g);  m ← b2 m + (1 − b2) g;  Δ = −learning_rate (u + weight_decay x)

    The other arguments are those of `scale_by_lion`.  Against AdamW the learning rate is about ten times smaller and
    weight_decay ten times larger.
    """
    decay = add_weight_decay(weight_decay, where)
    return chain(scale_by_lion(**lion), decay, scale_by_learning_rate(learning_rate))


@transform
def cautious_lion(
    learning_rate: Hyper = 1e-4, *, weight_decay: Hyper = 1e-1, where: Where = "**/kernel", **lion: Any
) -> Transform:
    """Lion that moves only where its direction agrees with the gradient.  https://arxiv.org/abs/2411.16085

    u = sign(b1 m + (1 − b1) g);  m ← b2 m + (1 − b2) g
    u ← u n / (kept + 1) where u g > 0, else 0;  Δ = −learning_rate (u + weight_decay x)
    """
    decay = add_weight_decay(weight_decay, where)
    return chain(cautious(scale_by_lion(**lion)), decay, scale_by_learning_rate(learning_rate))


@transform
def mars_lion(
    learning_rate: Hyper = 1e-3,
    *,
    weight_decay: Hyper = 1e-1,
    where: Where = "**/kernel",
    gamma: float = 0.025,
    exact: bool = False,
    b1: float = 0.95,
) -> Transform:
    """The sign of the running mean of gradients of reduced variance.  https://arxiv.org/abs/2411.10438

    c = g + gamma b1 / (1 − b1) (g − g');  c ← c / max(1, |c|);  m ← b1 m + (1 − b1) c
    Δ = −learning_rate (sign(m) + weight_decay x)
    """
    require_constant("gamma", gamma, 0.0)
    require_constant("b1", b1, 0.0, BELOW_ONE)
    corrected = chain(add_difference(gamma * b1 / (1 - b1), exact=exact), clip_by_norm(1.0))
    direction = chain(corrected, accumulate(b1, average=True), scale_by_sign())
    return chain(direction, add_weight_decay(weight_decay, where), scale_by_learning_rate(learning_rate))
