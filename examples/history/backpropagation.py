"""Backpropagation is the chain rule, read from the output down: every unit learns how much the error would change if
it answered a little more, from the same knowledge of the units above it.  In 1986 it was shown that units between input
and output, which nobody tells what to stand for, then come to stand for something.

*XOR* cannot be computed without such a unit.  In *symmetry* two of them find that 1 : 2 : 4, with opposite signs left
and right of the middle, weighs every pattern apart from its mirror image.  In the *family trees* nothing in a name says
who is English and who Italian, yet a unit of the person's code learns to: it helps to answer.

All gradients here are those of the layer-by-layer rule written out in `fdl/models/backpropagation.py`;
`fdl/models/tape.py` is the general form, and tests hold both to `jax.grad`.  A run is one scan over sweeps, and `vmap`
runs all seeds of an experiment at once.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, nn, optim
from fdl.data.kinship import PEOPLE
from fdl.models import Group, activities, backpropagate, unit_groups
from fdl.models.backpropagation import output

SKIP = {"x": Group(2), "hidden": Group(1, ("x",)), "y": Group(1, ("x", "hidden"))}
TWO_HIDDEN = {"x": Group(2), "hidden": Group(2, ("x",)), "y": Group(1, ("hidden",))}
SYMMETRY = {"x": Group(6), "hidden": Group(2, ("x",)), "y": Group(1, ("hidden",))}
FAMILY = {
    "person": Group(24),
    "relation": Group(12),
    "person_code": Group(6, ("person",)),
    "relation_code": Group(6, ("relation",)),
    "middle": Group(12, ("person_code", "relation_code")),
    "answer_code": Group(6, ("middle",)),
    "answer": Group(24, ("answer_code",)),
}
HELD_OUT = 4


def learn(groups, optimizer, span: float, sweeps: int, key, x: tuple, target, *, weight=None, margin: float = 0.0):
    """One run from U(±span): the parameters, and after each sweep which cases had every output on its side of ½.

    An output within the margin of its target counts as right; the cases with weight 0 are not learnt from.
    """
    weight = jnp.ones(len(target)) if weight is None else weight
    params, _ = unit_groups(groups, weight_init=nn.uniform(-span, span)).init(key)

    def sweep(carried, _):
        params, opt_state = carried
        values = activities(groups, params, *x)
        error = output(values) - target
        signal = jnp.where(abs(error) > margin, error, 0) * weight[:, None]
        updates, opt_state = optimizer.update(backpropagate(groups, params, values, signal), opt_state, params)
        return (optim.apply_updates(params, updates), opt_state), (abs(error) < 0.5).all(-1)

    (params, _), right = jax.lax.scan(sweep, (params, optimizer.init(params)), length=sweeps)
    return params, right


def runs(count: int, seed: int, groups, optimizer, span, sweeps, x, target):
    """As many runs at once, from keys of their own: their parameters, and the sweep that first had all cases right.

    A run that never had is given as many sweeps as there were.
    """
    one = partial(learn, groups, optimizer, span, sweeps, x=x, target=target)
    params, right = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), count))
    solved = np.asarray(right.all(-1))
    return params, np.where(solved.any(1), solved.argmax(1), sweeps)


def patterns(bits: int) -> jax.Array:
    """All patterns of so many bits.  (2^bits, bits)"""
    return jnp.asarray(np.indices((2,) * bits).reshape(bits, -1).T, jnp.float32)


def xor(seed: int) -> dict:
    """The share of nets that solve it, and the sweeps that took."""
    x, limit = patterns(2), 5000
    target = (x.sum(1, keepdims=True) == 1).astype(jnp.float32)
    _, skip = runs(100, seed, SKIP, optim.momentum(0.5, 0.0), 1.0, limit, (x,), target)
    _, two = runs(100, seed, TWO_HIDDEN, optim.momentum(0.5, 0.9), 0.3, limit, (x,), target)
    return {
        "xor_solved": 100 * np.mean(skip < limit),
        "xor_sweeps": np.median(skip[skip < limit]),
        "xor_two_hidden": 100 * np.mean(two < limit),
    }


def symmetry(seed: int) -> tuple[dict, dict]:
    """The share of nets that solve it, the sweeps that took, the share of those with weights as 1 : 2 : 4."""
    x, limit = patterns(6), 6000
    target = (x == x[:, ::-1]).all(1, keepdims=True).astype(jnp.float32)
    params, sweeps = runs(60, seed, SYMMETRY, optim.momentum(0.1, 0.9), 0.3, limit, (x,), target)
    solved, weights = sweeps < limit, np.moveaxis(np.asarray(params["hidden"]["kernel"]), 1, 2)
    sizes = np.sort(abs(weights[..., :3]), -1)  # (run, hidden unit, pair from the outside in)
    near = abs(sizes[..., 1:] / sizes[..., :1] / np.array([2, 4]) - 1) < 0.1
    opposite = abs(weights + weights[..., ::-1]) < 0.1 * abs(weights)
    elegant = near.all((1, 2)) & opposite.all((1, 2))
    figures = {
        "symmetry_solved": 100 * solved.mean(),
        "symmetry_sweeps": np.median(sweeps[solved]),
        "symmetry_elegant": 100 * elegant[solved].mean(),
    }
    return figures, {"symmetry": weights[np.argmax(solved & elegant)]}


def family(seed: int) -> tuple[dict, dict]:
    """How many of the questions learnt from, and of the four held out, twenty splits answer."""
    asked = data.family_trees()
    x = jnp.eye(24)[asked["person"]], jnp.eye(12)[asked["relation"]]
    target, count = jnp.asarray(asked["answer"]), len(asked["answer"])

    def split(key, *, rates=(0.025, 0.05), decay=5e-4, span=1.0, sweeps=5000):
        """One split: the parameters, and which questions came out right, those held out first."""
        optimizer = optim.chain(
            optim.scale_by(optim.piecewise(rates, [20])),
            optim.accumulate(optim.piecewise((0.5, 0.9), [20])),
            optim.add_weight_decay(decay, "**"),
            optim.scale_by_learning_rate(1.0),
        )
        init_key, order_key = jax.random.split(key)
        order = jax.random.permutation(order_key, count)
        weight = jnp.ones(count).at[order[:HELD_OUT]].set(0)
        params, right = learn(FAMILY, optimizer, span, sweeps, init_key, x, target, weight=weight, margin=0.2)
        return params, right[-1][order]

    keys = jax.random.split(jax.random.key(seed), 20)
    params, right = jax.tree.map(np.asarray, jax.jit(jax.vmap(split))(keys))
    printed = partial(split, rates=(0.005, 0.01), decay=2e-3, span=0.3, sweeps=1500)
    _, stalled = jax.jit(jax.vmap(printed))(keys)
    codes = 1 / (1 + np.exp(-params["person_code"]["kernel"] - params["person_code"]["bias"][:, None]))
    english = np.arange(24) < 12
    likeness = np.array([[abs(np.corrcoef(unit, english)[0, 1]) for unit in code.T] for code in codes])
    held = right[:, :HELD_OUT].sum(1)
    figures = {
        "family_learnt": 100 * right[:, HELD_OUT:].mean(),
        "family_held_out": held.mean(),
        "family_best": held.max(),
        "family_nation": likeness.max(1).mean(),
        "family_as_printed": 100 * np.asarray(stalled)[:, HELD_OUT:].mean(),
    }
    return figures, {"family": params["person_code"]["kernel"][np.argmax(held)]}


def run(seed: int, folder: Path) -> Outcome:
    symmetry_figures, symmetry_weights = symmetry(seed)
    family_figures, family_weights = family(seed)
    return Outcome(xor(seed) | symmetry_figures | family_figures, symmetry_weights | family_weights, steps=6000)


def draw(arrays: dict):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.6), width_ratios=(1, 3), layout="constrained")
    for i, unit in enumerate(arrays["symmetry"]):
        left.bar(np.arange(6) + 0.4 * i - 0.2, unit, 0.4, label=f"hidden unit {i + 1}")
    left.axhline(0, color="black", lw=0.5)
    left.set(title="symmetry: weights from the six inputs", xticks=range(6))
    limit = abs(arrays["family"]).max()
    right.imshow(arrays["family"].T, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    right.axvline(11.5, color="black", lw=1)
    right.set(title="family trees: weights from each person to the six code units", yticks=range(6))
    right.set_xticks(range(24), PEOPLE, rotation=60, ha="right", fontsize=6)
    return figure


NATURE, PDP = "Rumelhart, Hinton, Williams 1986 (Nature)", "Rumelhart, Hinton, Williams 1986 (PDP, chapter 8)"

ROW = Row(
    rows=("7",),
    title="Backpropagation, 1986",
    figures=(
        Figure("xor_solved", "XOR, one hidden unit and direct connections: % of 100 nets that solve it", PDP, low=95),
        Figure("xor_sweeps", "its median sweeps", f"558 in one run ({PDP}); 563, recomputed with NumPy", 400, 800),
        Figure("xor_two_hidden", "XOR, two hidden units: % of 100 nets", "98, recomputed with NumPy", low=95),
        Figure("symmetry_solved", "symmetry: % of 60 nets that solve it in 6,000 sweeps", "41 of 60 by NumPy", low=60),
        Figure("symmetry_sweeps", "its median sweeps", f"1,425 in one run ({NATURE}); 1,333 by NumPy", 900, 1900),
        Figure(
            "symmetry_elegant", "% of those with weights 1 : 2 : 4 within 10 %, opposite left and right", NATURE, 50
        ),
        Figure(
            "family_learnt", "family trees: % of 100 questions learnt, mean of 20 splits", f"100 ({NATURE})", low=99
        ),
        Figure("family_held_out", "of 4 questions held out, right on average", "2.4 by NumPy", low=2.0),
        Figure("family_best", "of 4 held out, right in the best split", f"4 ({NATURE})", low=4),
        Figure(
            "family_nation", "correlation of a code unit with being English, the best unit of a net", NATURE, low=0.8
        ),
        Figure("family_as_printed", "% learnt with the rates and decay as printed", f"100 ({NATURE}); 0 by NumPy"),
    ),
    run=run,
    budget=60,
    draw=draw,
    note="A sweep is one full batch.  Solved means that every output is on its side of ½.  The printed recipe for the "
    "family trees (rates 0.005 and 0.01, decay 0.2 % a sweep, 1,500 sweeps, from U(±0.3)) learns nothing; the one used "
    "has ten and five times its rates, a quarter of its decay, 5,000 sweeps from U(±1).",
)
