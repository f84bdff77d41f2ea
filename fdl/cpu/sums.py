"""Sums that a loop takes of products, taken behind it as one product.

The gradient of a kernel that a loop uses at each step is a sum over steps.  JAX adds it up inside of the backward loop:
a product of few rows a step, and the whole gradient read and written.  Where both factors lie in stacks anyway, as
inputs or outputs of the loop, one product of the two stacks is that sum, and other work can go on beside it.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from fdl.cpu.product import product_of_all

LINEAR = ("add_any", "concatenate", "convert_element_type", "fdl_channel_sum", "reduce_sum", "reshape", "transpose")

Made: TypeAlias = Callable[[dict[Any, jax.Array]], jax.Array]
"""How an array is made of the values of all steps, by their names in one step."""


def with_sums_behind(loop: JaxprEqn) -> JaxprEqn:
    """A scan, and behind it those of its sums that need no other stacks than it has."""
    body = _Body(loop)
    sums = {i: total for i, term in body.sums() if (total := body.total(term))}
    if not sums:
        return loop

    def apart(*operands: jax.Array) -> list[jax.Array]:
        out = loop.primitive.bind(*operands, **loop.params | {"jaxpr": body.without(sums)})
        stacks = body.stacks(operands, out)
        return [array + sums[i](stacks) if i in sums else array for i, array in enumerate(out)]

    [call] = jax.make_jaxpr(jax.jit(apart))(*(var.aval for var in loop.invars)).eqns
    return call.replace(invars=loop.invars, outvars=loop.outvars)


class _Body:
    """The body of a scan, and what is known of its values, those inside of rematerialised parts too."""

    def __init__(self, loop: JaxprEqn):
        self.closed: ClosedJaxpr = loop.params["jaxpr"]
        jaxpr = self.closed.jaxpr
        inputs, first = jaxpr.invars, stacks_from(loop.invars, jaxpr.invars)
        last = stacks_from(loop.outvars, jaxpr.outvars)
        self.makers: dict[Var, JaxprEqn] = {}  # the operation that a value is the result of
        self.first_names: dict[Var, Any] = {}
        self._read(jaxpr)
        self.carries = [*zip(inputs[first - last : first], jaxpr.outvars)]  # before and after a step
        self.inputs, self.outputs = inputs[first:], [*map(self._named, jaxpr.outvars[last:])]
        self.stacked = {var for var in (*self.inputs, *self.outputs) if not isinstance(var, Literal)}

    def _read(self, jaxpr: Jaxpr) -> None:
        for eqn in jaxpr.eqns:
            part = eqn.params["jaxpr"] if eqn.primitive.name == "remat2" and not eqn.params["prevent_cse"] else None
            if part is None or not self.first_names.keys().isdisjoint(part.invars):  # the same part a second time
                self.makers |= dict.fromkeys(eqn.outvars, eqn)
            else:
                self.first_names |= dict(zip([*part.invars, *eqn.outvars], [*eqn.invars, *part.outvars]))
                self._read(part)

    def _named(self, value: Any) -> Any:
        while not isinstance(value, Literal) and value in self.first_names:
            value = self.first_names[value]
        return value

    def _maker(self, value: Any) -> JaxprEqn | None:
        """The operation that a value is the result of."""
        name = self._named(value)
        return None if isinstance(name, Literal) else self.makers.get(name)

    def sums(self) -> Iterator[tuple[int, Any]]:
        """The carries to which a step adds a term, and for which nothing else asks, each with the term."""
        jaxpr = self.closed.jaxpr
        read = [*(var for eqn in jaxpr.eqns for var in eqn.invars), *jaxpr.outvars]
        uses = Counter(var for var in read if not isinstance(var, Literal))
        for i, (before, after) in enumerate(self.carries):
            maker = self._maker(after)
            terms = maker.invars if maker and maker.primitive.name == "add_any" else []
            if uses[before] == 1 and any(term is before for term in terms):
                yield i, terms[terms[0] is before]

    def without(self, sums: Container[int]) -> ClosedJaxpr:
        """The body in which these carries stay what they are."""
        carries = [before if i in sums else after for i, (before, after) in enumerate(self.carries)]
        jaxpr = self.closed.jaxpr
        return self.closed.replace(jaxpr=jaxpr.replace(outvars=carries + jaxpr.outvars[len(carries) :]))

    def stacks(self, operands: Sequence[jax.Array], results: Sequence[jax.Array]) -> dict[Any, jax.Array]:
        """The values of all steps that the loop reads and writes, by their names in one step."""
        arrays = (*operands[len(operands) - len(self.inputs) :], *results[len(self.carries) :])
        return {var: array for var, array in zip((*self.inputs, *self.outputs), arrays) if var in self.stacked}

    def stack(self, value: Any) -> Made | None:
        """The values of all steps, as the loop reads or writes them or the factors that they are products of."""
        name, maker = self._named(value), self._maker(value)
        if name in self.stacked:
            return lambda stacks: stacks[name]
        return _made(jnp.multiply, map(self.stack, maker.invars)) if maker and maker.primitive.name == "mul" else None

    def total(self, term: Any) -> Made | None:
        """The sum of a term over all steps; None if it cannot be made of stacks."""
        maker = self._maker(term)
        if stack := self.stack(term):
            return _made(_sum, [stack])
        if maker and maker.primitive.name == "dot_general":
            return _made(partial(product_of_all, **maker.params), map(self.stack, maker.invars))
        if maker and maker.primitive.name in LINEAR:
            return _made(partial(maker.primitive.bind, **maker.params), map(self.total, maker.invars))
        return None


def _made(make: Callable, parts: Iterable[Made | None]) -> Made | None:
    """What `make` makes of these, if it has all of them."""
    own = [*parts]
    return None if None in own else lambda stacks: make(*(part(stacks) for part in own if part))


def _sum(stack: jax.Array) -> jax.Array:
    """Over the first axis, as a product."""
    return (jnp.ones((1, len(stack)), stack.dtype) @ stack.reshape(len(stack), -1)).reshape(stack.shape[1:])


def stacks_from(outside: Sequence[Any], inside: Sequence[Any]) -> int:
    """Where the stacks begin in what a loop reads or writes: they have an axis more than in a step.

    JAX says it too, in parameters that are other ones in each version.
    """
    return next(
        (i for i, (a, b) in enumerate(zip(outside, inside)) if len(a.aval.shape) > len(b.aval.shape)), len(inside)
    )
