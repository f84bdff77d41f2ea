"""The named optimizers: each is a chain of transforms, to be read, used or taken apart."""

from typing import Any

import jax

from fdl.optim.adaptive.sign import RPropForm, scale_by_rprop
from fdl.optim.adaptive.squares import scale_by_adadelta, scale_by_adagrad, scale_by_adam, scale_by_rmsprop
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.transform import Hyper, Transform, chain, require_number, transform
from fdl.optim.velocity import accumulate, scale_by_learning_rate
from fdl.tree import Where


@transform
def sgd(learning_rate: Hyper, momentum: Hyper = 0.0, *, average: bool = False, nesterov: bool = False) -> Transform:
    """Stochastic gradient descent, with the lecture's momentum: the learning rate stays outside the velocity.

    v ← momentum v + g;  Δ = −learning_rate v
    with average:  v ← momentum v + (1 − momentum) g;  with nesterov:  Δ = −learning_rate (g + momentum v)

    average=True is the lecture's second form.  Robbins & Monro 1951, https://doi.org/10.1214/aoms/1177729586
    """
    require_number("momentum", momentum, 0.0, 1.0)
    rate = scale_by_learning_rate(learning_rate)
    plain = not callable(momentum) and not isinstance(momentum, jax.Array) and momentum == 0
    return chain(rate) if plain else chain(accumulate(momentum, average=average, nesterov=nesterov), rate)


@transform
def momentum(learning_rate: Hyper, momentum: Hyper = 0.9) -> Transform:
    """Polyak's heavy ball: the learning rate enters the velocity.

    v ← momentum v − learning_rate g;  Δ = v

    Goodfellow et al. algorithm 8.2; Polyak 1964, https://doi.org/10.1016/0041-5553(64)90137-5
    """
    return chain(scale_by_learning_rate(learning_rate), accumulate(momentum))


@transform
def nesterov(learning_rate: Hyper, momentum: Hyper = 0.9) -> Transform:
    """Nesterov's accelerated gradient: the heavy ball by the gradient ahead.

    g = ∇f(x + momentum v);  v ← momentum v − learning_rate g;  Δ = v

    The parameters are held at the interim point x + momentum v; `base_point` recovers x.
    Goodfellow et al. algorithm 8.3; Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html
    """
    return chain(scale_by_learning_rate(learning_rate), accumulate(momentum, nesterov=True))


@transform
def rprop(
    size: float | jax.Array = 0.1,
    *,
    shrink: float = 0.5,
    grow: float = 1.2,
    bounds: tuple[float, float] = (1e-6, 50.0),
    form: RPropForm = "irprop-",
) -> Transform:
    """Resilient backpropagation: steps of this first size, by sign.  There is no learning rate; full batches only.

    size ← size · (grow where g g' > 0, shrink where g g' < 0), within bounds;  Δ = −size sign(g)

    https://doi.org/10.1109/ICNN.1993.298623
    """
    direction = scale_by_rprop(size, shrink=shrink, grow=grow, bounds=bounds, form=form)
    return chain(direction, scale_by_learning_rate(1.0))


@transform
def rmsprop(learning_rate: Hyper, **rmsprop: Any) -> Transform:
    """Steps in units of the running root mean square of gradients; the other arguments are those of `scale_by_rmsprop`.

    r ← decay r + (1 − decay) g²;  Δ = −learning_rate g / √(r + eps)

    torch's with momentum is chain(scale_by_rmsprop(eps_in_root=False), accumulate(), scale_by_learning_rate(...)).
    Goodfellow et al. algorithm 8.5; Tieleman & Hinton 2012,
    https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    """
    return chain(scale_by_rmsprop(**rmsprop), scale_by_learning_rate(learning_rate))


@transform
def rmsprop_momentum(learning_rate: Hyper, momentum: Hyper = 0.9, decay: float = 0.9) -> Transform:
    """RMSProp with Nesterov momentum.

    g = ∇f(x + momentum v);  r ← decay r + (1 − decay) g²;  v ← momentum v − learning_rate g / √r;  Δ = v

    The parameters are held at the interim point x + momentum v; `base_point` recovers x.  There is no eps: where r = 0,
    g / √r counts as 0.  Goodfellow et al. algorithm 8.6, https://www.deeplearningbook.org/contents/optimization.html
    """
    return chain(
        scale_by_rmsprop(decay, eps=0.0), scale_by_learning_rate(learning_rate), accumulate(momentum, nesterov=True)
    )


@transform
def adagrad(learning_rate: Hyper, **adagrad: Any) -> Transform:
    """Steps in units of the root of all squares so far; the other arguments are those of `scale_by_adagrad`.

    r ← r + g²;  Δ = −learning_rate g / (√r + eps)

    https://jmlr.org/papers/v12/duchi11a.html
    """
    return chain(scale_by_adagrad(**adagrad), scale_by_learning_rate(learning_rate))


@transform
def adadelta(learning_rate: Hyper = 1.0, **adadelta: Any) -> Transform:
    """Steps in units of gradients, as large as the steps before; the other arguments are those of `scale_by_adadelta`.

    r ← decay r + (1 − decay) g²;  u = g √(s + eps) / √(r + eps);  s ← decay s + (1 − decay) u²
    Δ = −learning_rate u

    The paper's learning rate is 1.  https://arxiv.org/abs/1212.5701
    """
    return chain(scale_by_adadelta(**adadelta), scale_by_learning_rate(learning_rate))


@transform
def adam(learning_rate: Hyper = 1e-3, **adam: Any) -> Transform:
    """Running means of gradients in units of their root mean square; the other arguments are those of `scale_by_adam`.

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²;  Δ = −learning_rate m̂ / (√v̂ + eps)

    https://arxiv.org/abs/1412.6980
    """
    return chain(scale_by_adam(**adam), scale_by_learning_rate(learning_rate))


@transform
def adamw(
    learning_rate: Hyper = 1e-3, *, weight_decay: Hyper = 1e-2, where: Where = "**/kernel", **adam: Any
) -> Transform:
    """Adam with decoupled weight decay on the kernels; the other arguments are those of `scale_by_adam`.

    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) g²
    Δ = −learning_rate (m̂ / (√v̂ + eps) + weight_decay x)

    A step takes learning_rate * weight_decay of a parameter, as in torch.  https://arxiv.org/abs/1711.05101
    """
    decay = add_weight_decay(weight_decay, where)
    return chain(scale_by_adam(**adam), decay, scale_by_learning_rate(learning_rate))
