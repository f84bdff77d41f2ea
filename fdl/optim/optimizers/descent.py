"""Gradient descent and Adam with one more thing: decay, noise, optimism."""

from typing import Any

from fdl.optim.adaptive.differences import add_difference
from fdl.optim.adaptive.squares import scale_by_adam
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.gradients.noise import add_noise
from fdl.optim.schedules.standard import inverse_time
from fdl.optim.transform import Hyper, Transform, chain, transform
from fdl.optim.velocity import accumulate, scale_by_learning_rate
from fdl.tree import Where


@transform
def sgdw(
    learning_rate: Hyper,
    momentum: Hyper = 0.9,
    *,
    nesterov: bool = False,
    weight_decay: Hyper = 1e-2,
    where: Where = "**/kernel",
) -> Transform:
    """SGD with momentum, and decay that does not enter the velocity.

    v ← momentum v + g;  Δ = −learning_rate (v + weight_decay x), or with nesterov (g + momentum v + weight_decay x)

    https://arxiv.org/abs/1711.05101, algorithm 1
    """
    decay = add_weight_decay(weight_decay, where)
    return chain(accumulate(momentum, nesterov=nesterov), decay, scale_by_learning_rate(learning_rate))


@transform
def noisy_sgd(learning_rate: Hyper, variance: Hyper = inverse_time(0.01, power=0.55), seed: int = 0) -> Transform:
    """Gradient descent with normal noise, by default of a variance that falls.

    Δ = −learning_rate (g + z), z drawn from N(0, variance)

    https://arxiv.org/abs/1511.06807.  Langevin dynamics, which samples from exp(-loss), has variance 2 / learning_rate.
    """
    return chain(add_noise(variance, seed), scale_by_learning_rate(learning_rate))


@transform
def optimistic_adam(learning_rate: Hyper = 1e-3, strength: Hyper = 1.0, **adam: Any) -> Transform:
    """Adam for games, where it circles: it expects its direction to change again as it just did.

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²;  d = m̂ / (√v̂ + eps);  Δ = −learning_rate (d + strength (d − d'))

    The other arguments are those of `scale_by_adam`; the first step is Adam's.  https://arxiv.org/abs/1711.00141,
    algorithm 1
    """
    direction = chain(scale_by_adam(**adam), add_difference(strength))
    return chain(direction, scale_by_learning_rate(learning_rate))
