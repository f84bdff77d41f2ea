"""The factor falls when the value no longer does: torch's rule, and right for every sign."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim

ONES = {"kernel": jnp.ones(1)}


def factors(plateau, values):
    """The updates of 1 that come out, step by step."""
    step = jax.jit(lambda state, value: plateau.update(ONES, state, value=value))
    state, seen = plateau.init(ONES), []
    for value in values:
        updates, state = step(state, jnp.asarray(value, jnp.float32))
        seen.append(float(updates["kernel"][0]))
    return np.asarray(seen, "f")


def values(count=120):
    draw = np.random.default_rng(0)
    return (1 + 2 * np.exp(-np.arange(count) / 10) + 0.02 * draw.standard_normal(count)).astype("f")


SETTINGS = [
    {},
    {"mode": "max"},
    {"patience": 2, "cooldown": 3, "factor": 0.5, "low": 0.1},
    {"patience": 0, "relative": False, "threshold": 0.01},
    {"mode": "max", "relative": False, "threshold": 0.5, "patience": 4, "factor": 0.7},
]


@pytest.mark.parametrize("given", SETTINGS, ids=repr)
def test_the_factor_is_torchs(agrees, given):
    torch = pytest.importorskip("torch")
    renamed = {"low": "min_lr", "relative": "threshold_mode"}
    theirs = {renamed.get(name, name): value for name, value in given.items()}
    if "threshold_mode" in theirs:
        theirs["threshold_mode"] = "abs"
    group = torch.optim.SGD([torch.zeros(1)], 1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(group, **theirs)
    wanted = []
    for value in values():
        schedule.step(float(value))
        wanted.append(group.param_groups[0]["lr"])
    wanted = np.asarray(wanted, "f")
    assert wanted[-1] < 1
    kept = wanted > 1e-7  # torch stops where a cut would be below 1e-8
    found = factors(optim.reduce_on_plateau(**given), values())
    agrees.values(f"optim.reduce_on_plateau, {given}", "torch", found[kept], wanted[kept])


@pytest.mark.parametrize("mode", ["min", "max"])
def test_it_fires_on_negative_values_as_on_positive(mode):
    """With best * (1 - threshold) a value that stands still below 0 would count as better for ever."""
    for level in (-5.0, 0.0, 5.0):
        found = factors(optim.reduce_on_plateau(0.5, 3, mode=mode, threshold=0.01), [level] * 9)
        np.testing.assert_allclose(found, [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25])
        better = [level + (1 if mode == "max" else -1) * k for k in range(9)]
        np.testing.assert_array_equal(factors(optim.reduce_on_plateau(0.5, 3, mode=mode), better), np.ones(9))


def test_values_are_judged_by_their_mean():
    plateau = optim.reduce_on_plateau(0.5, 0, every=3)
    falling = [9.0, 0.0, 3.0, 5.0, 1.0, 4.0]  # means 4 and 10 / 3
    np.testing.assert_array_equal(factors(plateau, [*falling, 4.0, 4.0, 4.0]), [1] * 8 + [0.5])


def test_a_nan_is_never_better():
    np.testing.assert_array_equal(
        factors(optim.reduce_on_plateau(0.5, 1), [1.0, np.nan, np.nan, 0.5]), [1, 1, 0.5, 0.5]
    )


def test_bad_input_is_refused():
    plateau = optim.reduce_on_plateau()
    with pytest.raises(TypeError, match="needs the loss: call update"):
        plateau.update(ONES, plateau.init(ONES), ONES)
    with pytest.raises(TypeError, match="must be the PlateauState"):
        plateau.update(plateau.init(ONES), ONES, value=1.0)
    for bad in ({"factor": 1.5}, {"patience": -1}, {"every": 0}, {"low": -1.0}, {"cooldown": -1}, {"threshold": -1.0}):
        with pytest.raises(ValueError, match=r"must (lie in|be a whole number)"):
            optim.reduce_on_plateau(**bad)
    with pytest.raises(ValueError, match="mode must be"):
        optim.reduce_on_plateau(mode="low")
    with pytest.raises(TypeError, match="factor must be a plain number"):
        optim.reduce_on_plateau("0.1")
