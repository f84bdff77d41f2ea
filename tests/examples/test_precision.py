"""The comparison of precisions: every way runs, and the page shows what was recorded."""

import json

import numpy as np
import pytest

from examples.precision import PAGE, RESULTS, WAYS, Task, measured, table
from fdl import nn

X = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
SETS = {"x": X, "y": (X[:, 0] > 0).astype(np.int32)}
MODEL = nn.serial(nn.dense(4, 8), nn.layer_norm(8), nn.relu, nn.dense(8, 2))
TASK = Task("a task", MODEL, ("layer_norm_0/*",), lambda: (SETS, SETS), batch=8, steps=40, peak=3e-2)


@pytest.mark.filterwarnings("ignore:dense_0/bias is bfloat16")
def test_every_way_learns_and_none_is_another():
    found = {name: measured(TASK, way, 1)[0]["loss"] for name, way in WAYS.items()}
    assert all(0 < loss < 0.3 for loss in found.values()), found
    assert len(set(found.values())) == len(WAYS)


def test_the_page_shows_what_was_recorded():
    assert table(json.loads(RESULTS.read_text())) in PAGE.read_text()
