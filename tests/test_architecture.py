"""The arrows between packages, the budget of files and functions, the public names, the cost of importing."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "fdl").rglob("*.py"))
FLOORS = [
    {"version"},
    {"checks", "recipe", "cache"},
    {"tree", "cpu"},
    {"compile"},
    {"nn", "losses", "metrics", "optim", "data"},
    {"models", "train"},
    {"distributed", "interop", "inspection"},
]
DOOR = "jax.experimental.multihost_utils"  # the one public name of what processes tell each other
APART = [("nn", "optim"), ("optim", "nn"), ("train", "nn"), ("train", "losses"), ("data", "nn"), ("nn", "train")]


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """The modules of fdl that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "fdl")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fdl":
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in MODULES else node.module


MODULES = {module_of(path): path for path in FILES}
ARROWS = {name: {target for target in imports_of(path) if target != name} for name, path in MODULES.items()}


def floor(module):
    room = module.split(".")[1]
    return next(height for height, rooms in enumerate(FLOORS) if room in rooms)


def test_every_name_that_a_program_imports_from_another_is_there():
    """Those that are imported inside of functions too, which no other test may reach."""
    programs = {module_of(path): ast.parse(path.read_text()) for path in sorted((ROOT / "examples").rglob("*.py"))}
    for program, tree in programs.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "examples":
                assert node.module in programs, f"{program} imports {node.module}"
                for name in node.names:
                    inner = f"{node.module}.{name.name}" in programs
                    assert inner or name.name in names_of(programs[node.module]), f"{program}: {name.name}"


def names_of(tree):
    """What is defined, assigned or imported at the top of a file."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (name.asname or name.name for name in node.names)
        else:
            yield from (name.id for name in ast.walk(node) if isinstance(name, ast.Name))


def test_arrows_never_point_up():
    for module, targets in ARROWS.items():
        if module == "fdl":
            continue
        for target in targets:
            assert target != "fdl", f"{module} imports the whole package"
            assert floor(target) <= floor(module), f"{module} imports {target} from above"


def test_rooms_that_must_not_know_each_other():
    for module, targets in ARROWS.items():
        for target in targets:
            pair = (module + ".").split(".")[1], (target + ".").split(".")[1]
            assert pair not in APART, f"{module} imports {target}"


def test_no_import_cycle():
    done, open_ = set(), []

    def visit(module):
        assert module not in open_, f"cycle: {' -> '.join([*open_, module])}"
        if module in done:
            return
        open_.append(module)
        for target in ARROWS.get(module, ()):
            # A package imports its files; a file that imports its own package's __init__ would be the cycle.
            visit(target)
        open_.pop()
        done.add(module)

    for module in MODULES:
        visit(module)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_budget(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            inner = sum(n.end_lineno - n.lineno + 1 for n in node.body if isinstance(n, ast.FunctionDef))
            doc = len((ast.get_docstring(node) or "").splitlines())
            body = node.end_lineno - node.body[0].lineno + 1 - inner - doc
            assert body <= 40, f"{node.name} has {body} lines"


def test_nothing_imports_what_it_must_not():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in {"optax", "flax", "torch", "tests", "examples"}, path
                assert ".experimental" not in name or name == DOOR, path
                assert "jax._src" not in name, path


def test_no_drawers():
    names = {part for path in FILES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"_src", "utils", "util", "common", "misc", "helpers"}


@pytest.mark.parametrize(
    "package",
    ["nn", "losses", "metrics", "optim", "data", "models", "train", "distributed", "inspection"],
)
def test_public_names_are_listed_by_hand_and_documented(package):
    module = importlib.import_module(f"fdl.{package}")
    for name in module.__all__:
        made = getattr(module, name)
        if inspect.isfunction(made) or (inspect.isclass(made) and made.__module__.startswith("fdl")):
            assert made.__doc__, name
    assert len(set(module.__all__)) == len(module.__all__)


def loaded_by(statement):
    code = f"import sys; {statement}; print(*sorted(m for m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(run.stdout.split())


def test_importing_loads_nothing_beyond_the_core_and_changes_no_setting():
    extra = {name.split(".")[0] for name in loaded_by("import fdl") - loaded_by("import jax, numpy")}
    assert extra - set(sys.stdlib_module_names) <= {"fdl", "jax"}
    check = (
        "import jax; before = dict(jax.config.values); import fdl; "
        "assert before == dict(jax.config.values), 'importing changed the configuration of JAX'"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT)
