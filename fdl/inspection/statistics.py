"""How large the values and the gradients in a model are, by path: each reduced where it arises, none kept."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.inspection.probe import by_call, watch
from fdl.inspection.table import columns
from fdl.inspection.tap import is_float, tap
from fdl.nn.layer import Layer, Params, State
from fdl.tree import Tree, Where, flatten, widen


class Moments(NamedTuple):
    """Mean, standard deviation, least and largest of the finite values; the shares of zeros and of NaN and Inf.

    Scalars, or one value a repetition inside `repeat`.
    """

    mean: jax.Array
    std: jax.Array
    min: jax.Array
    max: jax.Array
    zeros: jax.Array
    nonfinite: jax.Array


class Statistics(NamedTuple):
    """Moments by path: of the outputs of parts, of the gradients by these outputs, of the gradients by parameters.

    A second call of the same part is under path#2.  A pytree; prints as a table.
    """

    outputs: dict[str, Moments]
    output_gradients: dict[str, Moments]
    param_gradients: dict[str, Moments]

    def __str__(self) -> str:
        return "\n\n".join(
            columns([(name.replace("_", " "), *Moments._fields), *_cells(table)], left=1)
            for name, table in zip(self._fields, self)
            if table
        )


def statistics(
    model: Layer,
    params: Params,
    state: State,
    *x: Any,
    loss: Callable[[Any], jax.Array] | None = None,
    where: Where = "**",
    key: jax.Array | None = None,
    train: bool = False,
) -> Statistics:
    """Statistics of what the parts put out and, given loss(y) -> scalar, of its gradients by that and by parameters.

    A pure function of arrays: jit it for large models.  Every value is reduced where it arises, so that memory does not
    grow.  Where a loss is given, no forward may take a forward-mode derivative of a part.  See `capture` for where.

    >>> found = statistics(model, params, state, x, loss=lambda y: jnp.mean(y**2))
    >>> float(found.outputs["relu_0"].zeros)
    0.4
    """

    def look(path, run, params, state, x, given):
        y, state = run(params, state, *x)
        return y if given is None else tap(measure, y, given), state, measure(jax.lax.stop_gradient(y))

    def forward(params, sinks):
        y, _, seen = watch(model, where, look, params, state, *x, key=key, train=train, given=sinks)
        return (jnp.zeros(()) if loss is None else loss(y)), seen

    if loss is None:
        return Statistics(_named(forward(params, None)[1]), {}, {})
    sinks = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), jax.eval_shape(forward, params, None)[1])
    (by_params, by_outputs), seen = jax.grad(forward, (0, 1), has_aux=True)(params, sinks)
    gradients = {path: (measure(leaf),) for path, leaf in flatten(by_params).items()}
    return Statistics(_named(seen), _named(by_outputs), _named(gradients))


def measure(tree: Tree) -> Moments | None:
    """The moments of all floating-point values of a tree together; None where there are none."""
    values = _numbers(tree)
    if values is None or not values.size:
        return None
    finite = jnp.isfinite(values)
    n = jnp.sum(finite)
    size = n.astype(values.dtype)
    safe = jnp.where(finite, values, 0)
    mean = jnp.sum(safe) / size
    std = jnp.sqrt(jnp.sum(jnp.where(finite, jnp.square(safe - mean), 0)) / size)
    nothing = jnp.asarray(jnp.nan, values.dtype)
    least = jnp.where(n > 0, jnp.min(values, where=finite, initial=jnp.inf), nothing)
    most = jnp.where(n > 0, jnp.max(values, where=finite, initial=-jnp.inf), nothing)
    zeros = jnp.mean(values == 0, dtype=values.dtype)
    return Moments(mean, std, least, most, zeros, jnp.mean(~finite, dtype=values.dtype))


def _numbers(tree: Tree) -> jax.Array | None:
    """All floating-point numbers of a tree in one row, in float32 at least; None where there are none.

    A complex number is two real ones.
    """
    rows = []
    for leaf in filter(is_float, jax.tree.leaves(tree)):
        wide = widen(leaf).ravel()
        rows += [wide.real, wide.imag] if jnp.issubdtype(wide.dtype, jnp.complexfloating) else [wide]
    if not rows:
        return None
    dtype = max((row.dtype for row in rows), key=lambda dtype: dtype.itemsize)
    return jnp.concatenate([row.astype(dtype) for row in rows])


def _named(seen: dict[str, tuple]) -> dict[str, Moments]:
    return {path: moments for path, moments in by_call(seen).items() if moments is not None}


def _cells(table: dict[str, Moments]) -> list[tuple[str, ...]]:
    """A row of text for every path, and one for every repetition of a part inside `repeat`."""
    rows = []
    for path, moments in table.items():
        values = [np.asarray(value) for value in moments]
        for place in np.ndindex(values[0].shape):
            name = f"{path or '(model)'}{list(place) if place else ''}"
            sizes, shares = [v[place] for v in values[:4]], [v[place] for v in values[4:]]
            rows.append((name, *(f"{v:.4g}" for v in sizes), *(f"{v:.2%}" for v in shares)))
    return rows
