"""Strict JAX for every test: no silent promotion of types or ranks; warnings are errors (see pyproject.toml)."""

import gc
import os
import signal
from pathlib import Path

from tests.quick import as_users, ask_for_quick_compilation, jit_fully, start_compiling

ask_for_quick_compilation(os.environ)

import jax  # noqa: E402
import pytest  # noqa: E402

from tests.agreement import Agreement, page_of  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# A shell has what it starts in its background ignore Ctrl-C, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PAGE = Path(__file__).parent.parent / "docs" / "oracles.md"
LONG = (Path(__file__).parent.name, "train", "distributed")  # folders of tests that start programs
PASSED = Path(os.environ.get("FDL_PASSED", os.devnull))  # a list of tests that have passed, which are left out


@pytest.fixture
def agrees(record_property, pytestconfig):
    """Compare with an oracle: agrees.values(subject, source, got, want), agrees.torch(subject, ours, theirs, ...)."""
    return Agreement(record_property, jit_fully if pytestconfig.getoption("--oracles-page") else jax.jit)


@pytest.fixture(scope="module")
def compiled_as_for_users():
    """What fdl compiles in this file is compiled as for users."""
    with as_users():
        yield


def pytest_configure(config):
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        start_compiling(os.environ, config.cache.mkdir("programs"))
        if jax.default_backend() == "gpu":  # TF32, the default there, is too coarse to compare with an oracle
            jax.config.update("jax_default_matmul_precision", "float32")


def pytest_addoption(parser):
    parser.addoption("--oracles-page", action="store_true", help="write docs/oracles.md from what this run compared")


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(config, items):
    """Who runs what: a file by one process; the laws of one layer too, which share programs.  For the page, oracles.

    Files beside this one start programs of their own, and share none.  What takes longest comes first, so that no
    process is left with it at the end while the other has nothing to do.
    """
    items.sort(key=lambda item: item.path.parent.name not in LONG)
    if config.getoption("--oracles-page"):
        items[:] = [item for item in items if "agrees" in item.fixturenames]
    if PASSED.is_file():
        passed = set(PASSED.read_text().splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = [item for item in items if item.nodeid not in passed]
    for item in items:
        case = item.name.rpartition("[")[2].rpartition("-")[2]
        alone = item.name if item.path.parent == Path(__file__).parent else str(item.path)
        item.add_marker(pytest.mark.xdist_group(case if "laws" in item.path.parts else alone))


def pytest_collection_finish():
    """What is imported stays, and a trace makes many objects: cycles are looked for more rarely, 5 % of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def pytest_terminal_summary(terminalreporter, config):
    """Say how much was left out for want of an oracle, so that a green run is not taken for a full one."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    missing = sum("could not import" in reason for reason in reasons)
    if missing:
        terminalreporter.write_line(f"{missing} tests need an oracle that is not installed: pip install '.[oracles]'")
    if config.getoption("--oracles-page") and not hasattr(config, "workerinput"):
        passed = terminalreporter.stats.get("passed", [])
        records = [value for report in passed for name, value in report.user_properties if name == "oracle"]
        head = PAGE.read_text().partition("| what |")[0]
        PAGE.write_text(head + "\n".join(page_of(records)) + "\n")
    if str(PASSED) != os.devnull and not hasattr(config, "workerinput"):
        before = PASSED.read_text().splitlines() if PASSED.is_file() else []
        if before:
            terminalreporter.write_line(f"{len(before)} tests have passed before, in {PASSED}, and were left out")
        after = [
            report.nodeid.rpartition("@")[0] or report.nodeid for report in terminalreporter.stats.get("passed", [])
        ]
        PASSED.write_text("\n".join(before + after) + "\n")
