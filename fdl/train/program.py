"""An experiment as the program of one run: how it begins, takes a step, and is measured, as pure functions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from fdl.train.search import Trial
from fdl.train.step import Step

Experiment: TypeAlias = Callable[..., tuple]
Values: TypeAlias = dict[str, jax.Array]


class Run(NamedTuple):
    """A trial under way: its values that are no part of the program, the state that its experiment made.

    totals are its training metrics, added up since the step was last a multiple of `every`.
    """

    step: Any
    values: Values
    state: Any
    totals: dict[str, jax.Array]


class Program(NamedTuple):
    """begin(values, batch) -> run, step(run, batch) -> (run, metrics), measure(run) -> numbers by name."""

    begin: Callable[[Values, Any], Run]
    step: Callable[[Run, Any], tuple[Run, dict[str, jax.Array]]]
    measure: Callable[[Run], dict[str, jax.Array]]

    def whole(self, values: Any, batch: Any) -> tuple[Run, dict[str, jax.Array]]:
        """All of it, one after the other."""
        after, _ = self.step(self.begin(values, batch), batch)
        return after, self.measure(after)


def program_of(experiment: Experiment, fixed: Trial, every: int) -> Program:
    """The program of experiment(**fixed, **values), for values that are arrays."""

    def begin(values, batch):
        with _explained(values):
            step, state, _ = _made(experiment(**fixed, **values))
            metrics = jax.eval_shape(step.pure, state, batch)[1]
        totals = {name: jnp.zeros((), float) for name, one in metrics.items() if one.shape == ()}
        return Run(state.step, values, state._replace(step=None), totals)

    def step(run, batch):
        with _explained(run.values):
            own, _, _ = _made(experiment(**fixed, **run.values))
            after, metrics = own.pure(run.state._replace(step=run.step), batch)
        fresh = run.step % every == 0
        totals = {name: jnp.where(fresh, 0, old) + metrics[name].astype(old.dtype) for name, old in run.totals.items()}
        finite = jnp.isfinite(jnp.stack([jnp.zeros((), float), *totals.values()])).all()
        return Run(after.step, run.values, after._replace(step=None), totals), {"finite": finite}

    def measure(run):
        taken = ((run.step - 1) % every + 1).astype(float)
        with _explained(run.values):
            _, _, measure = _made(experiment(**fixed, **run.values))
            found = measure(run.state._replace(step=run.step))
        return {name: total / taken for name, total in run.totals.items()} | found

    return Program(begin, step, measure)


def _made(made: Any) -> tuple[Step, Any, Callable]:
    """(step, state, measure) as an experiment returned them; measure gives nothing where there is none."""
    if not (isinstance(made, tuple) and len(made) in (2, 3) and isinstance(made[0], Step)):
        raise TypeError(f"an experiment returns (step, state) or (step, state, measure), got {type(made).__name__}")
    step, state, *measure = made
    return step, state, measure[0] if measure else lambda state: {}


@contextmanager
def _explained(values: Values) -> Iterator[None]:
    """Note on an error what these values were, in case that is why."""
    try:
        yield
    except Exception as error:
        if values:
            error.add_note(
                f"the experiment was given {', '.join(values)} as arrays, so that its runs train together; "
                "name in apart=(...) what must be a plain number"
            )
        raise
