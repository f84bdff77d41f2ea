"""Layers that send each token to a few of many experts."""

import math

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.activations import softmax
from fdl.nn.compose import each, wire
from fdl.nn.layer import Layer, Part, layer
from fdl.nn.linear import dense
from fdl.nn.noise.penalty import penalty
from fdl.tree import widen


@layer
def mixture_of_experts(
    dim: int, expert: Part, count: int, *, top: int = 2, capacity: float = 1.25, balance: float = 0.01
) -> Layer:
    """Each token through the `top` experts it likes best of `count`, weighted by how much.  (..., dim) -> same shape

    expert maps (tokens, dim) to the same shape: gated_mlp(dim, hidden).  In training an expert takes at most capacity
    times its even share of the tokens, first choices first; to a token that finds no room it contributes 0, so put a
    residual around.  In evaluation every token is served, so that no output depends on the other tokens.
    The weights are the router's probabilities, for two and more experts divided by their sum.
    Training leaves balance * count * sum(share of tokens * mean probability) in the state under "penalty"; add it to
    the loss by `losses.state_penalty(state)`.  https://arxiv.org/abs/2006.16668, https://arxiv.org/abs/2101.03961
    """
    if not 1 <= top <= count:
        raise ValueError(f"top must be between 1 and count, got top {top} of {count} experts")
    if capacity <= 0:
        raise ValueError(f"capacity must be positive, got {capacity}")

    def forward(x, router, experts, load):
        require_float(x)
        require_shape(x, ..., dim)
        tokens = x.reshape(-1, dim)
        even = top * len(tokens) / count
        room = min(len(tokens), math.ceil(capacity * even)) if experts.train else len(tokens)
        # The router is computed in float32 at least: in 16 bits the choice itself is lost in rounding.
        chances = softmax(widen(tokens) @ widen(router.params["kernel"]))
        weights, chosen = jax.lax.top_k(chances, top)
        load((chances, chosen))
        seats = _seats(chosen, count, room)
        taken = (
            jnp.zeros((count * room, dim), x.dtype)
            .at[seats]
            .set(jnp.broadcast_to(tokens[:, None], (*seats.shape, dim)), mode="drop")
        )
        y = experts(taken.reshape(count, room, dim)).reshape(count * room, dim)
        found = widen(y.at[seats].get(mode="fill", fill_value=0))
        weights = weights / jnp.sum(weights, -1, keepdims=True) if top > 1 else weights
        return jnp.sum(found * weights[..., None], 1).astype(x.dtype).reshape(x.shape)

    def uneven(routed):
        chances, chosen = routed
        share = jnp.sum(jax.nn.one_hot(chosen, count, dtype=chances.dtype), (0, 1)) / max(1, chosen.size)
        return balance * count * jnp.sum(share * jnp.sum(chances, 0)) / max(1, len(chances))

    return wire(forward, router=dense(dim, count, use_bias=False), experts=each(expert, count), load=penalty(uneven))


def _seats(chosen: jax.Array, count: int, room: int) -> jax.Array:
    """A seat for each choice of each token, expert * room + place; count * room for one that finds no room."""
    tokens, top = chosen.shape
    in_order = chosen.T.reshape(-1)  # all first choices before all second ones
    wanted = jax.nn.one_hot(in_order, count, dtype=jnp.int32)
    place = jnp.sum((jnp.cumsum(wanted, 0) - 1) * wanted, -1, dtype=jnp.int32)
    seats = jnp.where(place < room, in_order * room + place, count * room)
    return seats.reshape(top, tokens).T
