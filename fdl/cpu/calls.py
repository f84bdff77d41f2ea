"""A product and a convolution as calls that XLA's runtime for CPUs hands to oneDNN.

The runtime reads how to compute from a text of XLA's own format (xla/service/cpu/onednn_config.proto), and stops the
process at a text that it does not understand.  So only versions of jaxlib are asked with which the tests have run.
"""

import json
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxlib.version import __version__ as jaxlib_version

KNOWN = ("0.10.2", "0.11.2", "0.12.0", "0.12.0.1")
LEAST = 1 << 20  # operations from which the 10 µs of a call do not count


@cache
def usable() -> bool:
    """Whether the oneDNN of jaxlib can be called: on Linux, with AVX-512, in a version that is known."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or "avx512f" not in cpu.read_text():
        return False
    known = jaxlib_version in KNOWN
    if not known:
        logging.getLogger("fdl").info("oneDNN is called in jaxlib %s, not in this one", ", ".join(KNOWN))
    return known


def pays(operations: int, *types: Any) -> bool:
    """Whether oneDNN computes with these types, and so much that the time of a call does not count."""
    return all(given.dtype == jnp.float32 for given in types) and operations >= LEAST


def on_one_device(context: Any) -> bool:
    """Whether a program that is being lowered has one device, so that nothing is shared out among several."""
    return getattr(context.module_context.axis_context, "num_devices", None) == 1


def product(a: jax.Array, b: jax.Array, turned: tuple[bool, bool]) -> jax.Array:
    """a @ b over equal leading axes; the last two axes of one that is said to be turned change places."""
    rows, columns = a.shape[-1 if turned[0] else -2], b.shape[-2 if turned[1] else -1]
    how = {"transpose_a": turned[0], "transpose_b": turned[1]}
    return _call("matmul", a, b, (*a.shape[:-2], rows, columns), {"onednn_matmul_config": how})


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    positions: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[tuple[int, int]],
    groups: int,
    channels_first: bool = False,
) -> jax.Array:
    """(batch, *space, in_dim), (*window, in_dim // groups, out_dim) -> (batch, *positions, out_dim)

    The kernel is (in_dim, *window, out_dim) with channels_first.
    """
    rank = len(stride)
    images = {"data": {"batch_dim": 0, "feature_dim": rank + 1, "spatial_dims": [*range(1, rank + 1)]}}
    first, axes = (0, range(1, rank + 1)) if channels_first else (rank, range(rank))
    weights = {"input_feature_dim": first, "output_feature_dim": rank + 1, "spatial_dims": [*axes]}
    low, high = zip(*padding)
    window = {"pad_left": low, "pad_right": high, "strides": stride, "window_dilations": dilation}
    how = {"dims": rank + 2, "input": images, "output": images, "kernel": {"filter": weights}, "window": window}
    shape = (x.shape[0], *positions, kernel.shape[-1])
    return _call("convolution", x, kernel, shape, {"onednn_conv_config": how | {"feature_groups": groups}})


def _call(what: str, a: jax.Array, b: jax.Array, shape: tuple[int, ...], how: dict[str, Any]) -> jax.Array:
    out = jax.ShapeDtypeStruct(shape, a.dtype)
    call = jax.ffi.ffi_call(f"__onednn${what}", out, custom_call_api_version=2, legacy_backend_config=json.dumps(how))
    return call(a, b)
