"""Strict JAX for every test: no silent promotion of types or ranks; warnings are errors (see pyproject.toml)."""

import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
