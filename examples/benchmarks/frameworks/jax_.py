"""The plainest JAX: arrays in a dict, an update written out, one jitted and donated function, optax."""

from examples.benchmarks.frameworks.optax_ import looped, optimizer_of

__all__ = ["looped", "optimizer_of"]

PACKAGES = ("jax", "optax")
