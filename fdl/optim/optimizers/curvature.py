"""The named optimizers that measure a step by the diagonal of the Hessian; they need the train step's `value_fn`."""

from typing import Any

from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.curvature.diagonal import scale_by_adahessian, scale_by_sophia
from fdl.optim.transform import Hyper, Transform, chain, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Where


@transform
def adahessian(learning_rate: Hyper = 0.15, **adahessian: Any) -> Transform:
    """Adam by curvature; the other arguments are those of `scale_by_adahessian`.  https://arxiv.org/abs/2006.00719

    h = z ⊙ Hz, z = ±1 by chance;  m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) h²
    Δ = −learning_rate m̂ / ((√v̂)^power + eps)
    """
    return chain(scale_by_adahessian(**adahessian), scale_by_learning_rate(learning_rate))


@transform
def sophia(
    learning_rate: Hyper = 3e-4, *, weight_decay: Hyper = 0.2, where: Where = "**/kernel", **sophia: Any
) -> Transform:
    """Clipped steps by curvature; the other arguments are those of `scale_by_sophia`.  https://arxiv.org/abs/2305.14342

    m ← b1 m + (1 − b1) g;  every so many steps h ← b2 h + (1 − b2) z ⊙ Hz, z by chance
    Δ = −learning_rate (m / max(gamma h, eps) within ±limit + weight_decay x)
    """
    direction = chain(scale_by_sophia(**sophia), add_weight_decay(weight_decay, where))
    return chain(direction, scale_by_learning_rate(learning_rate))
