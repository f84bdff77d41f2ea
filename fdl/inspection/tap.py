"""What the backward pass brings to a value: the gradient of a sink."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from fdl.tree import Tree

Measure = Callable[[Tree], Tree]
"""What is kept of a tree of arrays: floating-point values, of types and shapes that follow from those of the tree."""


def tap(measure: Measure, tree: Tree, sink: Tree) -> Tree:
    """The tree as it is; the gradient of the sink is measure(gradient of the tree).

    The sink is what measure(tree) would be, in shape and type; its values mean nothing.
    """
    leaves, structure = jax.tree.flatten(tree)
    floats = [i for i, leaf in enumerate(leaves) if is_float(leaf)]
    for i, leaf in zip(floats, _tap(measure, [leaves[i] for i in floats], sink)):
        leaves[i] = leaf
    return jax.tree.unflatten(structure, leaves)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _tap(measure, leaves, sink):
    return leaves


def _tap_forward(measure, leaves, sink):
    return leaves, None


def _tap_backward(measure, _, cotangents):
    return cotangents, measure(cotangents)


_tap.defvjp(_tap_forward, _tap_backward)


def is_float(leaf) -> bool:
    """Whether a leaf is an array that gradients reach."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact)
