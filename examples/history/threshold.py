"""A neuron as a logical statement: it fires if enough of its inputs do, and none that forbids it.

McCulloch and Pitts showed in 1943 that neurons of this simple kind can compute every Boolean function. With
threshold 1 a neuron is OR, with threshold n it is AND, and a forbidding input makes NOT. The proof that these
suffice is a program: take one hidden neuron for each pattern of the inputs, which fires for that pattern only, and
let the last neuron listen to those whose pattern is true.

One neuron alone cannot do everything, even with real weights instead of counted synapses. XOR needs two layers: no
line separates (0, 1) and (1, 0) from (0, 0) and (1, 1). Which functions one neuron can compute is a question of
linear programming: are there weights such that every true pattern is above the threshold and every false one below?
Of two inputs 14 of 16 functions have some, of three 104 of 256, of four 1,882 of 65,536. Soon almost none have.
"""

from itertools import permutations
from pathlib import Path

import jax
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import models

GATES = {
    "or": ((models.any_of(2),), [0, 1, 1, 1]),
    "and": ((models.all_of(2),), [0, 0, 0, 1]),
    "not": ((models.none_of(),), [1, 0]),
    "nor": ((models.none_of(2),), [1, 0, 0, 0]),
    "xor": (models.exclusive_or(), [0, 1, 1, 0]),
    "and of five": ((models.all_of(5),), [0] * 31 + [1]),
}


def run(seed: int, folder: Path) -> Outcome:
    figures = {"gates": float(np.mean([truth_table(net) == table for net, table in GATES.values()]))}
    figures["compiled"] = float(np.mean([compiled_right(bits) for bits in (1, 2, 3, 4)]))
    for bits in (2, 3, 4):
        figures[f"separable_{bits}"] = count_separable(bits)
    xor = np.array([0, 1, 1, 0], bool)
    return Outcome(figures | {"xor": float(separating_plane(patterns(2), xor) is not None)})


def truth_table(net) -> list[int]:
    """What the net says of every pattern of its inputs."""
    return models.fire(net, models.all_inputs(len(net[0].excite)))[:, 0].astype(int).tolist()


def compiled_right(bits: int) -> float:
    """The fraction of all functions of so many bits whose compiled net is right everywhere."""
    tables = models.all_targets(bits)
    said = jax.jit(jax.vmap(lambda table: models.fire(models.compile_table(table), models.all_inputs(bits))[:, 0]))
    return float((said(tables) == tables).all(-1).mean())


def patterns(bits: int) -> np.ndarray:
    """All inputs as numbers, 0 and 1."""
    return np.asarray(models.all_inputs(bits), float)


def separating_plane(x: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    """Weights, the bias last, with x w + b >= 1 where true and <= -1 elsewhere, or None: a linear program decides."""
    from scipy.optimize import linprog

    signed = np.where(true, 1, -1)[:, None] * np.concatenate([x, np.ones((len(x), 1))], 1)
    found = linprog(np.zeros(signed.shape[1]), A_ub=-signed, b_ub=-np.ones(len(x)), bounds=(None, None))
    if found.status not in (0, 2):
        raise RuntimeError(f"the linear program was not decided: {found.message}")
    return found.x if found.status == 0 else None


def count_separable(bits: int) -> int:
    """How many functions one neuron can compute: a linear program for each that is no other one in disguise."""
    return sum(size for table, size in classes(bits) if separating_plane(patterns(bits), table) is not None)


def classes(bits: int):
    """One function of each class, and the size of the class: inputs exchanged, inputs and output negated."""
    size = 2**bits
    x, places = patterns(bits).astype(int), 1 << np.arange(bits - 1, -1, -1)
    moves = [x[:, order] @ places ^ flip for order in map(list, permutations(range(bits))) for flip in range(size)]
    weights = 1 << np.arange(size, dtype=np.int64)
    fresh = np.ones(2**size, bool)
    while fresh.any():
        table = (int(fresh.argmax()) >> np.arange(size)) % 2 == 1
        alike = np.unique([values[move] @ weights for move in moves for values in (table, ~table)])
        fresh[alike] = False
        yield table, len(alike)


ROW = Row(
    rows=("2",),
    title="McCulloch–Pitts",
    figures=(
        Figure("gates", "fraction of OR, AND, NOT, NOR, XOR and AND of five whose truth table is right", low=1, high=1),
        Figure("compiled", "fraction of all functions of 1 to 4 inputs compiled right", "1, 1943", low=1, high=1),
        Figure("separable_2", "functions of 2 inputs that one neuron computes, of 16", "14 [R]", low=14, high=14),
        Figure("separable_3", "functions of 3 inputs that one neuron computes, of 256", "104 [R]", low=104, high=104),
        Figure("separable_4", "of 4 inputs, of 65,536", "1,882, OEIS A000609, recalled", low=1882, high=1882),
        Figure("xor", "1 if one neuron computes XOR", "0", low=0, high=0),
    ),
    run=run,
    budget=10,
    note="For four inputs the linear programs are solved for one function of each class under exchange and negation.",
)
