"""batch_norm over a batch that is split over four devices, in a process of its own."""

import os
import subprocess
import sys

PROGRAM = """
from functools import partial
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, PartitionSpec
from fdl import nn

jax.config.update("jax_enable_x64", True)
draw = np.random.default_rng(0).normal
x, weights = jnp.asarray(draw(2, 3, size=(8, 3, 5))), jnp.asarray(draw(size=(8, 3, 5)))
whole, split = nn.batch_norm(5), nn.batch_norm(5, axis_name="data")
params, state = jax.tree.map(lambda leaf: leaf.astype(jnp.float64) + 0.3, whole.init(jax.random.key(0)))

def slopes(apply):
    def loss(params, x):
        y, after = apply(params, state, x)
        return jnp.sum(y * weights), (y, after)
    return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, x)

want = slopes(partial(whole.apply, train=True))
for devices in (1, 2, 4):
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    spec, same = PartitionSpec("data"), PartitionSpec()
    for check in (True, False):
        run = jax.shard_map(partial(split.apply, train=True), mesh=mesh, in_specs=(same, same, spec),
                            out_specs=(spec, same), check_vma=check)
        off = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - np.asarray(b)).max(), slopes(run), want)
        print(max(jax.tree.leaves(off)))
"""


def test_a_batch_split_over_devices_is_normalised_as_a_whole(agrees):
    flags = "--xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    errors = [float(line) for line in done.stdout.split()]
    assert len(errors) == 6
    worst = max(errors)
    agrees.error("nn.batch_norm, split by shard_map", "the whole batch", "float64", worst, most=1e-12)
