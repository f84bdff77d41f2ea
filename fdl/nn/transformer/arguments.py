"""What attention asks of its arguments, checked while tracing."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import DtypeError, ShapeError, describe, require_float, require_integer, require_shape

IMPLEMENTATIONS = (None, "plain", "chunked", "fused")


def require_heads(query: jax.Array, key: jax.Array, value: jax.Array) -> None:
    """Raise unless query, key and value fit each other."""
    for name, x in (("query", query), ("key", key), ("value", value)):
        require_float(x, name)
        require_shape(x, None, None, None, None, name=name, hint="split the heads: (batch, time, heads, head_dim)")
    if not query.dtype == key.dtype == value.dtype:
        kinds = f"{query.dtype}, {key.dtype} and {value.dtype}"
        raise DtypeError(f"query, key and value must be of one type, got {kinds}; cast them with x.astype")
    heads, kv_heads = query.shape[2], key.shape[2]
    require_shape(key, query.shape[0], None, None, query.shape[3], name="key", hint="batch and head_dim of the query")
    require_shape(value, *key.shape[:3], None, name="value", hint="batch, keys and kv_heads of the key")
    if kv_heads == 0 or heads % kv_heads:
        raise ShapeError(f"heads {heads} must be a multiple of kv_heads {kv_heads}; query head h reads its group's key")


def require_numbers(window: int | None, softcap: float | None, chunk: int | None, implementation: str | None) -> None:
    """Raise ValueError unless these are in range."""
    if window is not None and window < 1:
        raise ValueError(f"window must be 1 or more (1 sees only itself), got {window}")
    if softcap is not None and softcap <= 0:
        raise ValueError(f"softcap must be positive, got {softcap}; None leaves the logits as they are")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be 1 or more queries, got {chunk}")
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation must be one of {IMPLEMENTATIONS}, got {implementation!r}")


def require_over_logits(where: Any, bias: Any, shape: tuple[int, ...]) -> None:
    """Raise unless where and bias, if given, spread over (batch, heads, time, keys)."""
    if where is not None and jnp.result_type(where) != jnp.bool_:
        raise DtypeError(f"where must be boolean, got {describe(where)}; numbers to add to the logits are the bias")
    if bias is not None:
        require_float(bias, "bias", hint="what may be seen is said by where")
    for name, x in (("where", where), ("bias", bias)):
        if x is not None and not (x.ndim == 4 and all(n in (1, full) for n, full in zip(x.shape, shape))):
            fact = f"{name} must have shape (batch, heads, time, keys) = {shape}, or 1 in an axis, got {x.shape}"
            raise ShapeError(f"{fact}; give it all four axes, e.g. {name}[:, None, None]")


def require_positions(query: jax.Array, slopes: jax.Array | None, offset: ArrayLike) -> None:
    """Raise unless there is one slope a head, and one offset or one an example."""
    if slopes is not None:
        require_float(slopes, "slopes")
        require_shape(slopes, query.shape[2], name="slopes", hint="one a head, as alibi_slopes(heads) gives them")
    require_integer(offset, "offset")
    if jnp.ndim(offset):
        require_shape(offset, query.shape[0], name="offset", hint="one integer, or one for each example")


def pair_of_segments(segments: Any, batch: int, time: int, keys: int) -> tuple[Any, Any]:
    """Ids of the queries and of the keys; (None, None) if there are none."""
    if segments is None:
        return None, None
    ids = segments if isinstance(segments, tuple) else (segments, segments)
    if len(ids) != 2:
        raise ValueError(f"segments must be one array or the pair (query_segments, key_segments), got {len(ids)}")
    hint = "for keys of another number give segments=(query_segments, key_segments)"
    for name, x, n in (("segments", ids[0], time), ("key segments", ids[1], keys)):
        require_integer(x, name)
        require_shape(x, batch, n, name=name, hint=hint)
    return ids
