"""Agreement with an oracle: asserted, and recorded for docs/oracles.md with the error that was seen.

The error of an array is its largest difference from the oracle's, over the oracle's largest magnitude.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

MOST = {"float64": 1e-10, "float32": 1e-5}


class Agreement:
    """Compares with an oracle and keeps a record of it."""

    def __init__(self, record, jit):
        self.record, self.jit = record, jit

    def values(self, subject, source, got, want, *, most=None):
        """Trees of arrays, compared leaf by leaf.  subject is a public name: "nn.dense", "losses.ctc, blank last"."""
        ours, theirs = jax.tree.leaves(got), jax.tree.leaves(want)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            dtype = "float64" if np.asarray(a).dtype == np.float64 else "float32"
            self.error(subject, source, dtype, worst_error(a, b), most=most)

    def error(self, subject, source, dtype, error, *, most=None):
        """An error measured in another way: at most the usual bound of its type."""
        error, allowed = float(error), most or MOST[dtype]
        assert error <= allowed, f"{subject} is off by {error:.1e} from {source}"
        self.record("oracle", [subject, source, dtype, error, allowed])

    def torch(self, subject, ours, theirs, *arrays, dtypes=("float64", "float32"), most=None, source="torch"):
        """Values, and gradients by every floating array, of two functions of the same arrays, in each type.

        theirs takes and returns torch tensors; an output may be a tuple.  Integer arrays have no gradient.
        """
        pytest.importorskip("torch")
        for dtype in dtypes:
            with jax.enable_x64(dtype == "float64"):
                typed = [_typed(a, dtype) for a in arrays]
                # In float64 it is the mathematics that counts; on the page, in float32, the error that a user sees.
                jit = jax.jit if dtype == "float64" else self.jit
                self.values(subject, source, _ours(ours, typed, jit), _theirs(theirs, typed), most=most)


def worst_error(got, want):
    """The largest difference over the largest magnitude; infinities and NaN must be in the same places."""
    got, want = (np.asarray(x, np.float64) for x in (got, want))
    assert got.shape == want.shape, f"{got.shape} is not {want.shape}"
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    assert np.isfinite(got[finite]).all()
    if not finite.any():
        return 0.0
    return float(np.abs(got[finite] - want[finite]).max() / max(np.abs(want[finite]).max(), 1e-30))


def page_of(records):
    """The Markdown table of all records: for each subject, oracle and type the worst error seen and the one allowed."""
    worst = {}
    for subject, source, dtype, error, allowed in records:
        seen = worst.get((subject, source, dtype), (0.0, 0.0))
        worst[subject, source, dtype] = max(error, seen[0]), max(allowed, seen[1])
    rows = [
        f"| {s} | {o} | {d} | {error:.1e} | {allowed:.0e} |" for (s, o, d), (error, allowed) in sorted(worst.items())
    ]
    return ["| what | oracle | type | worst error | allowed |", "|---|---|---|---|---|", *rows]


def _typed(array, dtype):
    array = np.asarray(array)
    return array.astype(dtype) if np.issubdtype(array.dtype, np.floating) else array


def _weights(i, y):
    """A cotangent without symmetry, so that no term of a gradient can hide."""
    return np.cos(np.arange(y.size) + i).reshape(y.shape).astype(y.dtype)


def _ours(f, arrays, jit):
    free = [i for i, a in enumerate(arrays) if np.issubdtype(a.dtype, np.floating)]

    def loss(*values):
        filled = [jnp.asarray(a) for a in arrays]
        for i, value in zip(free, values):
            filled[i] = value
        y = f(*filled)
        parts = y if isinstance(y, tuple) else (y,)
        return sum(jnp.sum(part * _weights(i, part)) for i, part in enumerate(parts)), parts

    values = [jnp.asarray(arrays[i]) for i in free]
    (_, y), gradients = jit(jax.value_and_grad(loss, tuple(range(len(free))), has_aux=True))(*values)
    return y, gradients


def _theirs(f, arrays):
    import torch

    tensors = [torch.tensor(a, requires_grad=bool(np.issubdtype(a.dtype, np.floating))) for a in arrays]
    y = f(*tensors)
    parts = y if isinstance(y, tuple) else (y,)
    sum((part * torch.tensor(_weights(i, part.detach().numpy()))).sum() for i, part in enumerate(parts)).backward()
    gradients = [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors if t.requires_grad]
    return tuple(part.detach().numpy() for part in parts), tuple(g.numpy() for g in gradients)
