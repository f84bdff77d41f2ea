"""Strict JAX for every test: no silent promotion of types or ranks; warnings are errors (see pyproject.toml)."""

import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_terminal_summary(terminalreporter):
    """Say how much was left out for want of an oracle, so that a green run is not taken for a full one."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    missing = sum("could not import" in reason for reason in reasons)
    if missing:
        terminalreporter.write_line(f"{missing} tests need an oracle that is not installed: pip install '.[oracles]'")
