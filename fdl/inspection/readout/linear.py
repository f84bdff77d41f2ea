"""Linear read-outs: what one affine map can tell from features, and so what a network has made easy to tell.

Both are strictly convex problems, so that what is found is a property of the features and not of the search.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.compile import compile
from fdl.data import check_labels
from fdl.losses import cross_entropy
from fdl.nn.channels import per_channel
from fdl.optim import apply_updates, lbfgs
from fdl.optim.transform import require_constant, require_whole
from fdl.tree import vdot


class Readout(NamedTuple):
    """An affine map, and the largest entry of the gradient of what it minimises, where the search stopped."""

    kernel: jax.Array
    bias: jax.Array
    gradient: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        """x @ kernel + bias.  (..., dim) -> (..., out_dim)"""
        y = x @ self.kernel
        return y + per_channel(self.bias, y)


def linear_probe(
    x: jax.Array,
    labels: Any,
    classes: int,
    *,
    penalty: float = 1e-4,
    tolerance: float = 1e-5,
    max_steps: int = 1000,
) -> Readout:
    """Softmax regression: the least mean cross-entropy + penalty / 2 · |kernel|².  float (n, dim), int (n,) -> Readout

    By L-BFGS until no entry of the gradient exceeds the tolerance; `gradient` says how far it came in max_steps.
    Features of like size are found faster: see `data.standardise`.  Alain & Bengio 2016, https://arxiv.org/abs/1610.01644
    Raises LabelError for labels that are no class.
    """
    require_float(x, "x")
    require_shape(x, None, None, name="x", hint="flatten features to one row an example")
    require_shape(labels, jnp.shape(x)[0], name="labels")
    check_labels(labels, classes)
    require_constant("penalty", penalty, 0.0)
    require_constant("tolerance", tolerance, 0.0)
    require_whole("max_steps", max_steps)
    hypers = jnp.asarray([penalty, tolerance], jnp.result_type(x))
    return _fit(x, jnp.asarray(labels), hypers, classes=classes, max_steps=max_steps)


def linear_readout(x: jax.Array, y: jax.Array, *, penalty: float = 1e-4) -> Readout:
    """Ridge regression: the least mean |x @ kernel + bias - y|² + penalty · |kernel|².  (n, dim), (n, out_dim)

    In closed form, in the smaller of features and examples.  Raises ValueError for a penalty of 0.
    """
    for name, array in (("x", x), ("y", y)):
        require_float(array, name)
        require_shape(array, jnp.shape(x)[0], None, name=name)
    require_constant("penalty", penalty, 0.0)
    if penalty == 0:
        raise ValueError("penalty must be above 0, or there may be many solutions; take a small one such as 1e-6")
    return _ridge(x, y, jnp.asarray(penalty, jnp.result_type(x)))


def _minimise(x, labels, hypers, *, classes, max_steps):
    penalty, tolerance = hypers

    def objective(params):
        kernel, bias = params
        logits = x @ kernel
        loss = cross_entropy(logits + per_channel(bias, logits), labels).mean()
        return loss + penalty / 2 * vdot(kernel, kernel)

    def largest(grad):
        return jnp.maximum(*(jnp.max(jnp.abs(leaf)) for leaf in grad))

    def again(at):
        step, _, _, _, grad, moved = at
        return (step < max_steps) & (largest(grad) > tolerance) & moved

    def body(at):
        step, params, state, value, grad, _ = at
        updates, state = optimizer.update(grad, state, params, value=value, grad=grad, value_fn=objective)
        moved = largest(updates) > 0  # at the last digit a search finds nothing lower
        params = apply_updates(params, updates)
        return step + 1, params, state, *jax.value_and_grad(objective)(params), moved

    optimizer = lbfgs()
    params = jnp.zeros((x.shape[1], classes), x.dtype), jnp.zeros(classes, x.dtype)
    first = jnp.zeros((), jnp.int32), params, optimizer.init(params), *jax.value_and_grad(objective)(params), True
    _, (kernel, bias), _, _, grad, _ = jax.lax.while_loop(again, body, first)
    return Readout(kernel, bias, largest(grad))


def _closed_form(x, y, penalty):
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - per_channel(mean_x, x), y - per_channel(mean_y, y)
    n, dim = x.shape
    wide = dim > n
    gram = jnp.matmul(x, x.T, precision="highest") if wide else jnp.matmul(x.T, x, precision="highest")
    right = y if wide else jnp.matmul(x.T, y, precision="highest")
    solved = jax.scipy.linalg.solve(gram / n + penalty * jnp.eye(len(gram), dtype=x.dtype), right / n, assume_a="pos")
    kernel = jnp.matmul(x.T, solved, precision="highest") if wide else solved
    slope = 2 * (jnp.matmul(x.T, x @ kernel - y) / n + penalty * kernel)
    return Readout(kernel, mean_y - jnp.dot(mean_x, kernel, precision="highest"), jnp.max(jnp.abs(slope)))


_fit = compile(_minimise, static_argnames=("classes", "max_steps"))
_ridge = compile(_closed_form)
