"""Nothing in the library leads from a file to a callable, and nothing unpacks an archive: docs/security.md."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "fdl").rglob("*.py"))
# What makes callables of bytes and names; what writes where the names in a file say.
MODULES = {"importlib", "runpy", "marshal", "shelve", "dill", "cloudpickle", "joblib", "tarfile", "zipfile"}
CALLS = {"eval", "exec", "__import__", "unpack_archive", "np.load", "numpy.load", "jnp.load", "jax.numpy.load"}

# These import a package of an extra, by a name that stands in them.
OPTIONAL = {"fdl/train/trackers.py", "fdl/train/checkpoint/orbax.py"}


def used(path):
    """The modules that are imported, the names that are called, and what is taken from pickle."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "").split(".")[0], *(name.name for name in node.names))
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            yield from (called, called.rpartition(".")[2]) if "load" not in called else (called,)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            yield f"pickle.{node.attr}"


def test_no_way_from_a_file_to_a_callable_and_no_archives():
    for path in FILES:
        found = set(used(path))
        allowed = {"importlib"} if path.relative_to(ROOT).as_posix() in OPTIONAL else set()
        assert not found & (MODULES | CALLS) - allowed, path
        assert {name for name in found if name.startswith("pickle.")} <= {"pickle.PicklingError"}, path


def test_the_look_finds_what_it_looks_for(tmp_path):
    code = "import pickle, tarfile\nfrom zipfile import ZipFile\nimport numpy as np\n"
    (tmp_path / "bad.py").write_text(code + "pickle.loads(b'')\nnp.load('a')\neval('1')\nbuiltins.exec('')\n")
    found = set(used(tmp_path / "bad.py"))
    assert {"tarfile", "zipfile", "pickle.loads", "np.load", "eval", "exec"} <= found


def test_the_page_where_hosts_look_leads_to_the_one_source():
    short = (ROOT / ".github" / "SECURITY.md").read_text()
    assert "../docs/security.md" in short
    assert "Loading a file never runs code" in short
    assert "Loading a file never runs code" in (ROOT / "docs" / "security.md").read_text()
