"""Training as a fold: states, steps, loops, evaluation, checkpoints."""

from fdl.train import checkpoint, hooks, trackers
from fdl.train.evaluate import make_evaluate
from fdl.train.fit import EarlyStopping, Hook, fit
from fdl.train.golden import GoldenError, check_golden, write_golden
from fdl.train.history import History
from fdl.train.loop import NonFiniteError, run
from fdl.train.microbatch import in_microbatches
from fdl.train.overfit import Overfit, OverfitError, overfit_batch
from fdl.train.progress import Progress
from fdl.train.range_test import RangeTest, draw_range_test, range_test
from fdl.train.resume import Saving
from fdl.train.search import (
    Trial,
    between,
    brackets,
    columns,
    grid,
    hyperband,
    sample,
    search,
    successive_halving,
)
from fdl.train.signals import StoppedError
from fdl.train.skipping import skipping
from fdl.train.state import TrainState, init_state
from fdl.train.step import Step, TwoPartLoss, make_train_step
from fdl.train.sweep import sweep
from fdl.train.sweep_report import draw_sweep, sweep_table
from fdl.train.swept import init_sweep, run_of, swept
from fdl.train.watchdog import watchdog

__all__ = [
    "TrainState",
    "init_state",
    "Step",
    "make_train_step",
    "TwoPartLoss",
    "in_microbatches",
    "run",
    "sweep",
    "sweep_table",
    "draw_sweep",
    "init_sweep",
    "swept",
    "run_of",
    "range_test",
    "RangeTest",
    "draw_range_test",
    "overfit_batch",
    "Overfit",
    "OverfitError",
    "Trial",
    "grid",
    "sample",
    "between",
    "columns",
    "search",
    "successive_halving",
    "brackets",
    "hyperband",
    "fit",
    "EarlyStopping",
    "Saving",
    "Hook",
    "hooks",
    "trackers",
    "History",
    "NonFiniteError",
    "StoppedError",
    "skipping",
    "watchdog",
    "Progress",
    "make_evaluate",
    "write_golden",
    "check_golden",
    "GoldenError",
    "checkpoint",
]
