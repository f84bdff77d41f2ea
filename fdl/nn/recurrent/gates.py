"""The gates of a cell: the products that their sums are made of, and the curves, of which `unroll` keeps the values."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from fdl.compile import on_cpu
from fdl.nn import activations
from fdl.nn.channels import per_channel
from fdl.nn.layer import Params
from fdl.nn.linear.product import recur, times
from fdl.tree import widen

KEPT = "recurrent_gates"  # the name of what `unroll` keeps of each step for its backward pass


def project_gates(gates: int) -> Callable[..., tuple[jax.Array, ...]]:
    """project(params, x): the product of x with the kernel of each gate, the biases being left to the step.

    The gates are arrays of their own, as XLA on a CPU reads parts of a wide array slowly where a loop slices its time.
    """
    return lambda params, x: tuple(times(x, kernel) for kernel in jnp.split(params["kernel"], gates, -1))


def split_gates(params: Params, gates: int) -> tuple[list[jax.Array], list[jax.Array]]:
    """The recurrent kernels and the biases of the gates."""
    return jnp.split(params["recurrent"]["kernel"], gates, -1), jnp.split(params["input"]["bias"], gates)


def times_each(h: jax.Array, kernels: Sequence[jax.Array]) -> list[jax.Array]:
    """The products of h with the kernels of gates: on a CPU apart, where cutting and joining costs more than it gives.

    Elsewhere one wide product, whose gradient is joined of the gradients of the gates.
    """
    if on_cpu():
        return [recur(h, kernel) for kernel in kernels]
    return jnp.split(recur(h, jnp.concatenate(kernels, -1)), len(kernels), -1)


def add_gate(z: jax.Array, product: jax.Array, bias: jax.Array) -> jax.Array:
    """What comes from the input, from the carry, and the bias of one gate, in float32 at least."""
    return widen(z) + widen(product) + per_channel(widen(bias), product)


def kept(values: jax.Array) -> jax.Array:
    """The same; what is behind it is not computed again in the backward pass of `unroll`.

    Name so what the products of a step end in: the rest of the step is cheap, and the products are not.
    """
    return checkpoint_name(values, KEPT)


def _kept_curve(curve: Callable, slope: Callable) -> Callable[[jax.Array], jax.Array]:
    """A curve whose value is kept, and is all that its derivative needs."""
    gate = jax.custom_jvp(curve)

    @gate.defjvp
    def _(primals, tangents):
        y = kept(curve(*primals))
        return y, slope(y) * tangents[0]

    return gate


sigmoid = _kept_curve(activations.sigmoid, lambda y: y * (1 - y))
tanh = _kept_curve(activations.tanh, lambda y: 1 - y * y)
