"""What all losses ask of their inputs, checked while tracing."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_shape


def promote(*arrays: ArrayLike) -> list[jax.Array]:
    """The arrays in their common floating type, float32 at least."""
    found = [jnp.asarray(x) for x in arrays]
    dtype = max([jnp.dtype(jnp.float32), *(x.dtype for x in found)], key=lambda dtype: jnp.finfo(dtype).bits)
    return [x.astype(dtype) for x in found]


def keep_only(keep: jax.Array | None, *arrays: jax.Array) -> list[jax.Array]:
    """The arrays with 0 where `keep` is false, so that NaN there reaches neither value nor gradient.

    keep has the leading axes of every array; None keeps all.
    """
    if keep is None:
        return list(arrays)
    return [jnp.where(keep.reshape(keep.shape + (1,) * (x.ndim - keep.ndim)), x, jnp.zeros_like(x)) for x in arrays]


def masked(keep: jax.Array | None, loss: jax.Array) -> jax.Array:
    """The loss with 0 where `keep` is false."""
    return keep_only(keep, loss)[0]


def require_pair(x: ArrayLike, target: ArrayLike, name: str) -> None:
    """Raise DtypeError or ShapeError unless both are floating point and of one shape; nothing is broadcast."""
    require_float(x, name)
    require_float(target, "target", "cast it, e.g. target.astype('float32')")
    one, other = jnp.shape(x), jnp.shape(target)
    extra = name if one == (*other, 1) else "target" if other == (*one, 1) else ""
    hint = f"drop the last axis of length 1: {extra}[..., 0]" if extra else f"it must be that of {name}"
    require_shape(target, *one, name="target", hint=hint)
