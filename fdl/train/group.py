"""Trials that share a program: begun, trained and measured together, on one device or several."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import NamedSharding

from fdl.compile import compile
from fdl.data import Batches
from fdl.train.loop import RESIDENT_BYTES
from fdl.train.program import Experiment, Program, Run, Values, program_of
from fdl.train.search import Trial, columns
from fdl.train.step import Step
from fdl.train.swept import RUNS, WHOLE, along_runs, mesh_of, over_devices, run_of, swept
from fdl.tree import digest, nbytes


@dataclass(frozen=True)
class Group:
    """The trials at these places, which differ in `values` alone; their runs have an axis more in every leaf.

    Every device has equally many runs, so the last may be there more than once.
    """

    program: Program
    values: Values
    places: list[int]
    exact: bool
    devices: Sequence[Any]

    def start(self, batch: Any) -> Run:
        """The runs before their first step."""

        def begin(numbered):
            runs = along_runs(lambda one, _: self.program.begin(one[1], batch), numbered, (), exact=self.exact)
            return runs.step[0], runs._replace(step=None)

        begin = over_devices(begin, self.devices, RUNS, (WHOLE, RUNS))
        numbers = jnp.arange(_width(len(self.places), self.devices))
        step, runs = jax.jit(begin)((numbers, self.values))
        # Copies, since a value that the state holds too would be one buffer, which cannot be donated twice.
        return jax.tree.map(lambda leaf: leaf.copy(), runs._replace(step=step))

    def step(self) -> Step:
        """The step of all runs."""
        return swept(Step(self.program.step), exact=self.exact, copies=True, devices=self.devices)

    def measured(self, runs: Run) -> list[dict[str, Any]]:
        """What each run gave; they take turns, so that measuring takes the memory of one."""
        in_turn = lambda step, runs: jax.lax.map(lambda run: self.program.measure(run._replace(step=step)), runs)
        given = runs.step, runs._replace(step=None)
        measure, held, found = _opened(over_devices(in_turn, self.devices, (WHOLE, RUNS), RUNS), *given)
        found = jax.tree.unflatten(jax.tree.structure(found), compile(measure)(held, jax.tree.leaves(given)))
        rows = {name: jax.device_get(each).tolist() for name, each in found.items()}
        return [{name: each[i] for name, each in rows.items()} for i in range(len(self.places))]

    def each(self, runs: Run) -> list[Run]:
        """The runs one by one, on the first device."""
        runs = jax.device_put(runs, self.devices[0]) if len(self.devices) > 1 else runs
        return [run_of(runs, i) for i in range(len(self.places))]

    def joined(self, runs: Sequence[Run]) -> Run:
        """Single runs together again, to go on."""
        alone = [run._replace(step=None) for run in _filled(runs, self.devices)]
        whole = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
        if len(self.devices) > 1:
            whole = jax.device_put(whole, NamedSharding(mesh_of(self.devices), RUNS))
        return whole._replace(step=jnp.asarray(int(runs[0].step), jnp.int32))

    def near(self, batches: Any) -> Any:
        """The batches, with their examples on each of several devices."""
        if not isinstance(batches, Batches) or len(self.devices) < 2 or nbytes(batches.examples) > RESIDENT_BYTES:
            return batches
        everywhere = NamedSharding(mesh_of(self.devices), WHOLE)
        return dataclasses.replace(batches, examples=jax.device_put(batches.examples, everywhere))

    def columns(self, batch: Any) -> dict[str, jax.ShapeDtypeStruct]:
        """What its rows will hold, from one traced step: nothing is computed."""
        return jax.eval_shape(self.program.whole, self._one(), batch)[1]

    def fingerprint(self, batch: Any, *told: Any) -> str:
        """A name for what comes out: of the program, its constants, the values, and what else is told."""
        given = self._one(), jax.eval_shape(lambda batch: batch, batch)
        whole, held, _ = _opened(self.program.whole, *given)
        text = jax.jit(whole).lower(held, jax.tree.leaves(given)).as_text()
        parts = [text, digest([self.values, held]), json.dumps([self.exact, *told])]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _one(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The values of one run, as types."""
        return {name: jax.ShapeDtypeStruct((), each.dtype) for name, each in self.values.items()}


def grouped(
    experiment: Experiment,
    trials: Sequence[Trial],
    places: Sequence[int],
    *,
    apart: Sequence[str],
    every: int,
    exact: bool,
    devices: Sequence[Any],
) -> list[Group]:
    """The trials at these places by what makes their programs, in the order of their first."""
    found: dict[str, list[int]] = {}
    for place in places:
        fixed, values = _parts(trials[place], apart)
        found.setdefault(json.dumps([fixed, sorted(values)], sort_keys=True), []).append(place)
    groups = []
    for own in found.values():
        fixed, values = zip(*(_parts(trials[place], apart) for place in own))
        near = devices[: len(own)]
        arrays = {name: _array(name, _filled(each, near)) for name, each in columns(values).items()}
        groups.append(Group(program_of(experiment, fixed[0], every), arrays, own, exact, near))
    return groups


def _opened(f: Callable, *given: Any) -> tuple[Callable, list, Any]:
    """(g, held, made): f(*given) is g(held, leaves of given), as leaves of a tree like made.

    What f holds, such as examples to measure on, is an argument of g: a compiler takes long over large constants.
    """
    closed, made = jax.make_jaxpr(f, return_shape=True)(*given)
    return lambda held, leaves: jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, held))(*leaves), list(closed.consts), made


def _parts(trial: Trial, apart: Sequence[str]) -> tuple[Trial, Trial]:
    """(what makes the program, what it is given as arrays): floats and an integer seed, but for what is to be apart."""
    given = lambda name, value: isinstance(value, float) or (name == "seed" and type(value) is int)
    arrays = {name: value for name, value in trial.items() if name not in apart and given(name, value)}
    return {name: value for name, value in trial.items() if name not in arrays}, arrays


def _array(name: str, each: Sequence) -> jax.Array:
    return jnp.asarray(each, jnp.int32 if name == "seed" else float)


def _width(count: int, devices: Sequence) -> int:
    return -(-count // len(devices)) * len(devices)


def _filled(each: Sequence, devices: Sequence) -> list:
    return [*each, *[each[-1]] * (_width(len(each), devices) - len(each))]
