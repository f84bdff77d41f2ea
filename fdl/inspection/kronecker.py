"""The Kronecker factors of the curvature of a model's linear layers, as K-FAC takes them, without editing the model."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.inspection.probe import all_parts, watch
from fdl.inspection.tap import tap
from fdl.nn.layer import Layer, Params, State
from fdl.tree import Where, widen

Factors = dict[str, tuple[jax.Array, jax.Array]]


def is_linear(path: str, part: Layer) -> bool:
    """Whether the part is a dense layer, or a convolution whose kernel sees all channels."""
    options = part.call.bound.arguments if part.call else {}
    return part.kind == "dense" or (part.kind == "conv" and options.get("groups", 1) == 1)


def kronecker_factors(
    model: Layer,
    params: Params,
    state: State,
    *x: Any,
    loss: Callable[[jax.Array], jax.Array],
    where: Where = is_linear,
    samples: int = 0,
    key: jax.Array | None = None,
    train: bool = False,
) -> Factors:
    """For each linear layer {path: (A, G)}, the Gauss-Newton matrix of whose kernel is about A (x) G.

    A are second moments of its inputs, (in, in), with a 1 behind them for a bias, G those of gradients by its outputs,
    (out, out).  Of a convolution the inputs are patches: Grosse & Martens 2016, https://arxiv.org/abs/1602.01407

    loss(y) is a mean over the rows of the outputs, (batch, ..., dim).  Gradients are those of the columns of a root of
    its Hessian, dim backward passes; or with `samples` of so many random mixtures of them, drawn from the key, which
    are right on average.  Inside `repeat` both have a leading axis of its depth.
    Martens & Grosse 2015, https://arxiv.org/abs/1503.05671
    """
    parts = all_parts(model)

    def look(path, run, params, state, x, given):
        y, state = run(params, state, *x)
        inputs = _inputs(parts[path], params, x[0])
        total = _moment(inputs) * (inputs.size // inputs.shape[-1])
        measure = lambda leaves: _moment(*leaves)
        return y if given is None else tap(measure, y, given), state, (total, measure([y]))

    def forward(sinks):
        y, _, seen = watch(model, where, look, params, state, *x, key=key, train=train, given=sinks)
        return y, seen

    shapes = jax.eval_shape(forward, None)[1]
    sinks = {path: tuple(jnp.zeros(g.shape, g.dtype) for _, g in calls) for path, calls in shapes.items()}
    y, pull, seen = jax.vjp(forward, sinks, has_aux=True)
    grads = jax.lax.map(lambda column: pull(column)[0], _columns(loss, y, samples, key))
    examples = y.size // y.shape[-1]

    def factors(calls, grads):
        total = jnp.stack([total for total, _ in calls]).sum(0) / examples
        return total, jnp.stack(grads).sum((0, 1)) / (len(grads) * max(samples, 1))

    return {path: factors(calls, grads[path]) for path, calls in seen.items()}


def _inputs(part: Layer, params: Params, x: jax.Array) -> jax.Array:
    """What each number that the layer puts out is a product of, (..., in): what it makes of x by the identity."""
    shape = params["kernel"].shape
    size = math.prod(shape[:-1])
    identity = {"kernel": jnp.eye(size, dtype=x.dtype).reshape(*shape[:-1], size)}
    inputs, _ = part.replace(out_dim=size, use_bias=False).apply(identity, {}, x)
    return jnp.concatenate([inputs, jnp.ones_like(inputs[..., :1])], -1) if "bias" in params else inputs


def _moment(x: jax.Array) -> jax.Array:
    """The mean of r r^T over the rows r.  (..., dim) -> (dim, dim), float32 at least"""
    rows = widen(x).reshape(-1, x.shape[-1])
    return jnp.matmul(rows.T, rows, precision="highest") / max(len(rows), 1)


def _columns(loss: Callable, y: jax.Array, samples: int, key: jax.Array | None) -> jax.Array:
    """The columns of a root of the Hessian of each row's loss, or random mixtures of them.  (columns, *y.shape)"""
    require_shape(y, None, ..., None, name="outputs")
    dim, rows = y.shape[-1], y.size // y.shape[-1]
    product = lambda unit: jax.jvp(jax.grad(loss), (y,), (jnp.broadcast_to(unit, y.shape),))[1]
    units = jnp.eye(dim, dtype=y.dtype).reshape(dim, *[1] * (y.ndim - 1), dim)
    values, vectors = jnp.linalg.eigh(rows * widen(jnp.moveaxis(jax.lax.map(product, units), 0, -1)))
    roots = vectors * jnp.sqrt(jnp.maximum(values, 0))[..., None, :]
    if not samples:
        return jnp.moveaxis(roots, -1, 0).astype(y.dtype)
    if key is None:
        raise TypeError("kronecker_factors needs a key to draw its samples from; samples=0 takes every column")
    signs = jax.random.rademacher(jax.random.fold_in(key, samples), (samples, *y.shape), roots.dtype)
    return jnp.einsum("...ij,s...j->s...i", roots, signs).astype(y.dtype)
