"""Attention within a window costs as much as the window is wide, not as there are keys."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

KEY_AXES = {"key": 1, "value": 1, "key_positions": 0, "key_segments": 1, "where": 3, "bias": 3}


def near_keys(
    arrays: Mapping[str, jax.Array | None], *, causal: bool, window: int | None
) -> Mapping[str, jax.Array | None]:
    """The same arrays with only as many keys as the windows of these queries, which stand in a row, can reach."""
    if window is None:
        return arrays
    positions, key_positions = arrays["positions"], arrays["key_positions"]
    assert positions is not None
    assert key_positions is not None
    keys = key_positions.shape[0]
    reach = positions.shape[1] + (window - 1) * (1 if causal else 2)
    if reach >= keys or positions.shape[0] > 1 or positions.size == 0:
        return arrays
    start = jnp.clip(positions[0, 0] - (window - 1), 0, keys - reach)

    def near(name, x):
        if x is None or name not in KEY_AXES or x.shape[KEY_AXES[name]] != keys:
            return x
        return jax.lax.dynamic_slice_in_dim(x, start, reach, KEY_AXES[name])

    return {name: near(name, x) for name, x in arrays.items()}
