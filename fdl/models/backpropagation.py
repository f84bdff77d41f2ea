"""Backpropagation of 1986, by hand: groups of logistic units, and the errors that they pass down to one another.

A unit j hears the activities y_i of units below it and answers with y_j = σ(Σ_i y_i w_ij + b_j).  The groups of units
need not form a chain: a group may hear any groups below it, so that connections may skip a layer, as in the XOR net of
the PDP book, and inputs may meet half-way, as in the family trees.

https://doi.org/10.1038/323533a0, whose equations are numbered below.
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_shape
from fdl.nn.compose import serial
from fdl.nn.initializers import Initializer, uniform
from fdl.nn.layer import Layer, Params, layer, pure
from fdl.nn.linear import dense


class Group(NamedTuple):
    """So many units, and the names of the groups below that they hear; a group that hears none is an input."""

    size: int
    hears: tuple[str, ...] = ()


Groups = Mapping[str, Group]


@layer
def unit_groups(groups: Groups, *, weight_init: Initializer = uniform(-0.3, 0.3)) -> Layer:
    """A net of logistic units, lower groups first; weights and biases are drawn alike.  (..., size) an input -> last

    Raises ValueError for a group that hears one which is not below it.
    """
    _require_order(groups)
    parts = {
        name: dense(_heard_by(groups, group), group.size, kernel_init=weight_init, bias_init=weight_init)
        for name, group in groups.items()
        if group.hears
    }
    return pure(lambda key: serial(**parts).init(key)[0], lambda params, *x: output(activities(groups, params, *x)))


def activities(groups: Groups, params: Params, *x: jax.Array) -> dict[str, jax.Array]:
    """What every group answers, by name, the inputs first.  (..., size) for each input, in order -> (..., size) each

    Equations 1 and 2.  Raises ShapeError where the inputs are not those of the net.
    """
    inputs = [name for name, group in groups.items() if not group.hears]
    if len(x) != len(inputs):
        raise ShapeError(f"the net has the inputs {', '.join(inputs)}, got {len(x)} arrays")
    values = dict(zip(inputs, x))
    for name, group in groups.items():
        if not group.hears:
            require_shape(values[name], ..., group.size, name=name)
            continue
        net = _heard(group, values) @ params[name]["kernel"]
        values[name] = jax.nn.sigmoid(net + jnp.broadcast_to(params[name]["bias"], net.shape))
    return values


def output(values: Mapping[str, jax.Array]) -> jax.Array:
    """The activities of the last group."""
    return list(values.values())[-1]


def backpropagate(groups: Groups, params: Params, values: Mapping[str, jax.Array], signal: jax.Array) -> Params:
    """The gradient of an error by all weights, from its derivative by the output; no `jax.grad` is used.

    values are those of `activities` for a batch, (batch, size) each; for E = ½ Σ (y - d)² the signal is y - d (eq. 4).
    """
    require_shape(output(values), None, None, name="the output", hint="give a batch, x[None] for one example")
    require_shape(signal, *output(values).shape, name="signal")
    signals = {name: jnp.zeros_like(value) for name, value in values.items()} | {list(values)[-1]: signal}
    gradient = {}
    for name, group in reversed(list(groups.items())):
        if not group.hears:
            continue
        delta = signals[name] * values[name] * (1 - values[name])  # by what the units heard in all: equation 5
        gradient[name] = {"kernel": _heard(group, values).T @ delta, "bias": delta.sum(0)}  # equation 6
        passed = delta @ params[name]["kernel"].T  # equation 7
        cuts = list(accumulate(groups[source].size for source in group.hears))[:-1]
        for source, part in zip(group.hears, jnp.split(passed, cuts, -1)):
            signals[source] = signals[source] + part
    return gradient


def _heard(group: Group, values: Mapping[str, jax.Array]) -> jax.Array:
    return jnp.concatenate([values[source] for source in group.hears], -1)


def _heard_by(groups: Groups, group: Group) -> int:
    return sum(groups[source].size for source in group.hears)


def _require_order(groups: Groups) -> None:
    below: list[str] = []
    for name, group in groups.items():
        for source in group.hears:
            if source not in below:
                raise ValueError(f"{name} hears {source!r}, which is not below it; below are {', '.join(below)}")
        below.append(name)
    if not groups or not groups[below[-1]].hears:
        raise ValueError("the last group is the output: it must hear another")
