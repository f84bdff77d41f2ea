"""Linear recurrences whose coefficients are chosen by the input, all steps at once by an associative scan."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.activations import silu, softplus
from fdl.nn.channels import per_channel
from fdl.nn.compose import wire
from fdl.nn.convolution import conv
from fdl.nn.initializers import lecun_normal
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.linear import dense
from fdl.tree import widen


@layer
def state_space(dim: int, *, states: int = 16, rank: int | None = None, chunk: int = 64) -> Layer:
    """Selective state-space layer (S6), the heart of Mamba.  (batch, time, dim) -> same shape

    Every channel carries `states` numbers, h <- exp(d a) h + d b x, and reads y = c h + s x.  The step size d > 0 and
    the vectors b, c are functions of the input at that time, so that the layer chooses what to keep.  Steps are taken
    by an associative scan within chunks of time; the backward pass keeps one carry a chunk and computes the rest again.
    rank is that of the map to the step sizes, dim / 16 unless given.  https://arxiv.org/abs/2312.00752, algorithm 2.
    """
    rank = rank or max(1, dim // 16)
    if min(dim, states, chunk) < 1:
        raise ValueError(f"dim, states and chunk must be at least 1, got {dim}, {states} and {chunk}")
    kernel = lecun_normal()

    def init(key):
        choose, step, size = jax.random.split(key, 3)
        # Step sizes start between 0.001 and 0.1, evenly in their logarithm; the bias is softplus^-1 of them.
        steps = jnp.exp(jax.random.uniform(size, (dim,), minval=jnp.log(1e-3), maxval=jnp.log(1e-1)))
        return {
            "choose": {"kernel": kernel(choose, (dim, rank + 2 * states))},
            "step": {"kernel": kernel(step, (rank, dim)), "bias": steps + jnp.log(-jnp.expm1(-steps))},
            "log_decay": jnp.tile(jnp.log(jnp.arange(1.0, states + 1)), (dim, 1)),
            "skip": jnp.ones(dim),
        }

    def apply(params, x):
        require_float(x)
        require_shape(x, None, None, dim)
        low, b, c = jnp.split(x @ params["choose"]["kernel"], [rank, rank + states], -1)
        raw = low @ params["step"]["kernel"]
        size = softplus(widen(raw + per_channel(params["step"]["bias"], raw)))
        y = selective_scan(widen(x), size, -jnp.exp(widen(params["log_decay"])), widen(b), widen(c), chunk=chunk)
        return (y + widen(x) * per_channel(widen(params["skip"]), x)).astype(x.dtype)

    return pure(init, apply)


@layer
def mamba(dim: int, *, expand: int = 2, window: int = 4, states: int = 16, chunk: int = 64) -> Layer:
    """Gated selective state space after a short causal convolution.  (batch, time, dim) -> same shape

    The mixer of a Mamba block; put residual(rms_norm(dim), mamba(dim)) around it.
    https://arxiv.org/abs/2312.00752, figure 3
    """
    inner = expand * dim

    def forward(x, enter, convolve, scan, leave):
        h, gate = jnp.split(enter(x), 2, -1)
        return leave(scan(silu(convolve(h))) * silu(gate))

    return wire(
        forward,
        enter=dense(dim, 2 * inner, use_bias=False),
        convolve=conv(inner, inner, (window,), groups=inner, padding=[(window - 1, 0)]),
        scan=state_space(inner, states=states, rank=max(1, dim // 16), chunk=chunk),
        leave=dense(inner, dim, use_bias=False),
    )


def selective_scan(
    x: jax.Array, size: jax.Array, decay: jax.Array, b: jax.Array, c: jax.Array, *, chunk: int = 64
) -> jax.Array:
    """y_t = c_t h_t of h_t = exp(size_t decay) h_(t-1) + size_t b_t x_t, h_0 = 0, for each channel.

    x and size (batch, time, dim), decay (dim, states), b and c (batch, time, states) -> (batch, time, dim)
    """
    batch, time, dim = x.shape
    chunk = max(1, min(chunk, time))
    chunks = -(-time // chunk)

    def cut(values):
        """(batch, time, n) -> (chunks, batch, chunk, n); the steps added at the end have size 0 and change nothing."""
        filled = jnp.pad(values, ((0, 0), (0, chunks * chunk - time), (0, 0)))
        return jnp.moveaxis(filled.reshape(batch, chunks, chunk, values.shape[-1]), 1, 0)

    @jax.checkpoint
    def body(h, inputs):
        x, size, b, c = inputs
        keep = jnp.exp(size[..., None] * decay[None, None])
        add = (size * x)[..., None] * b[:, :, None, :]
        kept, added = jax.lax.associative_scan(_then, (keep, add), axis=1)
        h = kept * h[:, None] + added
        return h[:, -1], jnp.sum(h * c[:, :, None, :], -1)

    # The first carry is made of the data, so that it varies over the same mesh axes as what follows it.
    start = jnp.zeros_like(x[:, :1].sum(1))[..., None] * jnp.zeros_like(decay)[None]
    _, y = jax.lax.scan(body, start, tuple(map(cut, (x, size, b, c))))
    return jnp.moveaxis(y, 0, 1).reshape(batch, chunks * chunk, dim)[:, :time]


def _then(first, second):
    """One step after another: (k, a) stands for h -> k h + a."""
    return first[0] * second[0], second[0] * first[1] + second[1]
