"""The parameters shown to a transform in another form: as one vector, or without imaginary parts."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from fdl.optim.extras import through
from fdl.optim.transform import Transform, require_fit, require_trainable, transform
from fdl.tree import Tree


@transform
def flattened(inner: Transform) -> Transform:
    """The inner transform on all parameters as one vector: what it measures by arrays, it measures of all together.

    Many small arrays are one large one so; parameters are not sharded any more.
    """
    return _viewed(inner, lambda tree: ravel_pytree(tree)[0], lambda flat, like: ravel_pytree(like)[1](flat))


@transform
def split_complex(inner: Transform) -> Transform:
    """The inner transform on real and imaginary parts as arrays of their own; real parameters pass as they are.

    As everywhere, updates start as the direction uphill: of a complex parameter that is the conjugate of what jax.grad
    gives, and the step of make_train_step takes it so.
    """
    return _viewed(inner, _parts, _joined)


def _viewed(inner: Transform, show: Callable[[Tree], Tree], back: Callable[[Tree, Tree], Tree]) -> Transform:
    """The inner transform on show(tree); back(shown, like) is its inverse.  The loss is shown as a function of it."""

    def init(params):
        require_trainable(params)
        return inner.init(show(params))

    def update(updates, state, params=None, **extras):
        require_fit(updates, params)
        seen = through(extras, show, lambda shown: back(shown, params))
        moved, state = inner.update(show(updates), state, None if params is None else show(params), **seen)
        return back(moved, updates), state

    return Transform(init, update)


def _parts(tree: Tree) -> Tree:
    return jax.tree.map(lambda x: {"real": x.real, "imag": x.imag} if jnp.iscomplexobj(x) else x, tree)


def _joined(shown: Tree, like: Tree) -> Tree:
    join = lambda x, own: jax.lax.complex(own["real"], own["imag"]) if jnp.iscomplexobj(x) else own
    return jax.tree.map(join, like, shown)
