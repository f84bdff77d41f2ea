"""Parameters that come into use where they are used, a repetition at a time, and go again."""

from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as Spec

from fdl.compile import on_cpu
from fdl.distributed.rules import Layout, spec_of
from fdl.nn.compose import remat
from fdl.nn.keep import costly
from fdl.nn.layer import Layer, layer
from fdl.tree import assign, flatten, map_with_path, unflatten


def gathered(part: Layer, layout: Layout, path: str) -> Layer:
    """The part of a `nn.repeat` at this path of the parameters, which gathers its own where it is applied.

    nn.repeat(gathered(block, layout, "blocks"), 48), under fsdp(..., late="blocks/**"): a device holds the whole
    parameters of one repetition at a time.  The backward pass gathers them again; all else it keeps as it would.
    """
    return remat(_gathered(part, layout, path), policy=_kept)


def _kept(primitive: Any, *given: Any, **how: Any) -> bool:
    """A policy of `jax.checkpoint`: what was gathered is not kept."""
    return primitive.name != "sharding_constraint" and (not on_cpu() or costly(primitive, *given, **how))


@layer
def _gathered(part: Layer, layout: Layout, path: str) -> Layer:
    def apply(params, state, *x, key=None, train=False):
        stack = unflatten({f"{path}/{name}": leaf for name, leaf in flatten(params).items()})
        rules = flatten(assign(stack, layout.used, strict=False))

        def use(name, leaf):
            # Rules speak of the stack, whose leading axis a repetition lacks.
            spec = spec_of(rules[f"{path}/{name}"], (1, *leaf.shape), layout.mesh.shape)
            return jax.lax.with_sharding_constraint(leaf, NamedSharding(layout.mesh, Spec(*spec[1:])))

        return part.apply(map_with_path(use, params), state, *x, key=key, train=train)

    return Layer(part.init, apply, part.parts, part.is_pure)
