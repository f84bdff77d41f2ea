"""Experiment trackers as hooks for `fit`: a copy of the rows in TensorBoard, Weights & Biases or MLflow.

    train.fit(step, state, batches, epochs=9, directory="runs/a", hooks=[..., trackers.tensorboard("runs/a/board")])

The history holds, and metrics.jsonl has all of it; a tracker gets its numbers.  A run that goes on after a kill reports
again what no checkpoint had yet, so each hook asks first up to which step rows are there, and writes those after it,
also such as are missing.  A tracker stands last among the hooks: it sees what those before it add.
"""

import importlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from fdl.train.fit import Hook
from fdl.train.history import History

Write: TypeAlias = Callable[[int, dict[str, float]], Any]


def mirror(begin: Callable[[], tuple[int, Write]]) -> Hook:
    """The hook of any tracker: begin() -> (last step that is there, or -1, and write(step, numbers by name)).

    It is called at the first report.  Warns where the tracker is ahead of the run, and leaves alone what stands there.
    """
    last, write = -1, None

    def copy(state: Any, history: History) -> tuple[Any, dict[str, Any]]:
        nonlocal last, write
        if write is None:
            last, write = begin()
        now = history[-1]["step"]
        if now < last:
            warnings.warn(f"the tracker has rows up to step {last} already, this is step {now}", stacklevel=2)
        for row in history:
            if row["step"] > last:
                write(row["step"], _numbers(row))
        last = max(last, now)
        return state, {}

    return copy


def tensorboard(directory: str | Path) -> Hook:
    """Scalars for TensorBoard in this directory, in a file for each life of the run.

    A later life writes the whole history, after a mark by which readers forget the files before.
    Needs tensorboardX: pip install 'fdl[tensorboard]'
    """
    library = _imported("tensorboardX", "tensorboard")

    def begin() -> tuple[int, Write]:
        writer = library.SummaryWriter(str(directory), purge_step=0)

        def write(step: int, numbers: dict[str, float]) -> None:
            for name, value in numbers.items():
                writer.add_scalar(name, value, step)
            writer.flush()

        return -1, write

    return mirror(begin)


def wandb(id: str, **options: Any) -> Hook:
    """The run of Weights & Biases with this id, begun or gone on with; options of wandb.init: project=, mode=, dir=.

    Offline nobody knows what earlier lives wrote, so each life leaves a folder with the whole history: the newest is
    the one to upload.  Needs wandb: pip install 'fdl[wandb]'
    """
    library = _imported("wandb", "wandb")

    def begin() -> tuple[int, Write]:
        run = library.init(id=id, resume="allow", **options)
        return run.step - 1, lambda step, numbers: run.log(numbers, step=step, commit=True)

    return mirror(begin)


def mlflow(name: str, *, experiment: str = "Default", uri: str | None = None) -> Hook:
    """The MLflow run of this name in the experiment, begun or gone on with; uri is that of the tracking store.

    Needs mlflow or mlflow-skinny: pip install 'fdl[mlflow]'
    """
    if "'" in name:
        raise ValueError(f"the name of an MLflow run is looked up in quotes, and may hold none itself, got {name!r}")
    library = _imported("mlflow", "mlflow")

    def begin() -> tuple[int, Write]:
        client = library.MlflowClient(uri)
        run = _run_of(client, name, experiment)

        def write(step: int, numbers: dict[str, float]) -> None:
            now = time.time_ns() // 1_000_000
            # The step comes last: a row that was cut has none, and is written again.
            metrics = [library.entities.Metric(*entry, now, step) for entry in (*numbers.items(), ("step", step))]
            client.log_batch(run.info.run_id, metrics)

        return int(run.data.metrics.get("step", -1)), write

    return mirror(begin)


def _run_of(client: Any, name: str, experiment: str) -> Any:
    """The newest run of this name, or a new one."""
    found = client.get_experiment_by_name(experiment)
    number = found.experiment_id if found else client.create_experiment(experiment)
    runs = client.search_runs([number], f"attributes.run_name = '{name}'", max_results=1)
    return runs[0] if runs else client.create_run(number, run_name=name)


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """The entries that are one number, without the step; the rest is in metrics.jsonl."""
    return {name: float(value) for name, value in row.items() if name != "step" and _is_number(value)}


def _is_number(value: Any) -> bool:
    kinds = np.bool_, jnp.integer, jnp.floating
    return np.ndim(value) == 0 and any(jnp.issubdtype(np.asarray(value).dtype, kind) for kind in kinds)


def _imported(library: str, extra: str) -> Any:
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise ImportError(f"this tracker needs {library}: pip install 'fdl[{extra}]'") from error
