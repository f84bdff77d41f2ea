"""K-FAC: the gradient of a linear layer, divided by the Kronecker product that its curvature comes near to."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import TreeError, describe
from fdl.optim.adaptive.running import BELOW_ONE
from fdl.optim.leaves import moments, require_real
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_fit, require_whole, transform
from fdl.optim.velocity import accumulate, scale_by_learning_rate
from fdl.tree import Tree, Where, flatten, require_like, select

Factors = dict[str, tuple[jax.Array, jax.Array]]


class KfacState(NamedTuple):
    """Steps taken, and for the path of each layer the running factors (A, G) and the damped inverses used now."""

    step: jax.Array
    factors: Factors
    inverses: Factors


@transform
def scale_by_kfac(damping: float = 1e-3, *, decay: float = 0.95, every: int = 1, stacked: Where = ()) -> Transform:
    """Replace the gradient W of each layer by (A + pi s I)^(-1) W (G + s / pi I)^(-1), with s = damping^0.5.

    A kernel and its bias are one W, (in + 1, out).  A and G are running means, of weight min(1 - 1 / step, decay), of
    the factors that factors_fn gives; pi^2 is the mean of the diagonal of A over that of G.  The inverses are renewed
    in the first of every `every` steps.  Kernels stacked by `repeat` are named by `stacked`, their biases follow.
    All parameters must be kernels and biases of layers that have factors: others go elsewhere, by `groups`.
    Martens & Grosse 2015, sections 5 and 6.3, https://arxiv.org/abs/1503.05671

    Raises TypeError without factors_fn, which the train step passes for a `train.TwoPartLoss` that has factors.
    """
    require_constant("damping", damping, math.ulp(0.0))
    require_constant("decay", decay, 0.0, BELOW_ONE)
    require_whole("every", every)

    def init(params):
        require_real(params)
        eyes = lambda own: tuple(jnp.eye(n, dtype=own["kernel"].dtype) for n in _matrix(own).shape)
        return KfacState(jnp.zeros((), jnp.int32), *(_each_layer(eyes, moments(params), stacked) for _ in range(2)))

    def update(updates, state, params=None, **extras):
        if params is None or "factors_fn" not in extras:
            raise TypeError(
                "scale_by_kfac needs the parameters and the loss with its factors: train.TwoPartLoss(predict, loss, "
                "factors) in make_train_step, or update(updates, opt_state, params, factors_fn=function)"
            )
        require_fit(updates, params)
        given = extras["factors_fn"](params)
        factors = {path: given[path] for path in state.factors if path in given}
        require_like(factors, state.factors, "factors", "optimizer state", dtypes=False)
        keep = jnp.minimum(1 - 1 / (jnp.asarray(state.step, float) + 1), decay)
        mix = lambda old, new: keep.astype(old.dtype) * old + (1 - keep).astype(old.dtype) * new.astype(old.dtype)
        factors = jax.tree.map(mix, state.factors, factors)
        renew = lambda: _each_layer(lambda own, a, g: _inverses(a, g, damping), updates, stacked, factors)
        inverses = jax.lax.cond(state.step % every == 0, renew, lambda: state.inverses)
        moved = flatten(_each_layer(_divided, updates, stacked, inverses))
        found = {path.strip("/"): leaf for path, leaf in moved.items()}
        updates = jax.tree.unflatten(jax.tree.structure(updates), [found[path] for path in flatten(updates)])
        return updates, KfacState(state.step + 1, factors, inverses)

    return Transform(init, update)


@transform
def kfac(learning_rate: Hyper = 1e-2, momentum: Hyper = 0.9, **kfac: Any) -> Transform:
    """K-FAC with momentum; the other arguments are those of `scale_by_kfac`.

    π² = (tr A / rows of A) / (tr G / rows of G);  s = √damping;  A, G are running means of the layer's factors
    u = (A + π s I)⁻¹ g (G + s / π I)⁻¹;  v ← momentum v + u;  Δ = −learning_rate v

    groups({"head/table": adam(1e-3), "**": kfac(1e-2)}) keeps it to the layers that it is for.
    """
    return chain(scale_by_kfac(**kfac), accumulate(momentum), scale_by_learning_rate(learning_rate))


def _each_layer(rule: Callable, tree: Tree, stacked: Where, factors: Factors | None = None) -> dict[str, Any]:
    """rule({"kernel", "bias"}, A, G) for every layer by path, and for every layer of those in a stack."""
    leaves, flags = flatten(tree), flatten(select(tree, stacked))
    layers: dict[str, dict] = {}
    for path, leaf in leaves.items():
        layer, _, name = path.rpartition("/")
        kernel = f"{layer}/kernel".strip("/")
        if kernel not in leaves or name not in ("kernel", "bias") or leaves[kernel].ndim < 2 + flags[kernel]:
            raise TreeError(
                f"parameter {path!r} is {describe(leaf)}; only a kernel of two axes or more and the bias beside it "
                "have Kronecker factors: give it to another optimizer by groups"
            )
        layers.setdefault(layer, {})[name] = leaf
    flag = lambda layer: flags[f"{layer}/kernel".strip("/")]
    own = lambda layer: () if factors is None else factors[layer]
    return {name: (jax.vmap(rule) if flag(name) else rule)(parts, *own(name)) for name, parts in layers.items()}


def _matrix(own: dict[str, jax.Array]) -> jax.Array:
    """The kernel, and the bias as its last row.  (in + 1, out)"""
    kernel = own["kernel"].reshape(-1, own["kernel"].shape[-1])
    return jnp.concatenate([kernel, own["bias"][None]]) if "bias" in own else kernel


def _inverses(a: jax.Array, g: jax.Array, damping: float) -> tuple[jax.Array, jax.Array]:
    ratio = (jnp.trace(a) * len(g)) / (jnp.trace(g) * len(a))
    pi = jnp.where(jnp.isfinite(ratio) & (ratio > 0), jnp.sqrt(ratio), 1)
    return _inverse(a, pi * damping**0.5), _inverse(g, damping**0.5 / pi)


def _inverse(matrix: jax.Array, ridge: jax.Array) -> jax.Array:
    eye = jnp.eye(len(matrix), dtype=matrix.dtype)
    return jax.scipy.linalg.solve(matrix + ridge * eye, eye, assume_a="pos")


def _divided(own: dict[str, jax.Array], a: jax.Array, g: jax.Array) -> dict[str, jax.Array]:
    matrix = _matrix(own).astype(a.dtype)
    moved = jnp.matmul(jnp.matmul(a, matrix, precision="highest"), g, precision="highest")
    rows = math.prod(own["kernel"].shape[:-1])
    parts = {"kernel": moved[:rows], "bias": moved[rows:]}
    return {name: parts[name].reshape(leaf.shape).astype(leaf.dtype) for name, leaf in own.items()}
