"""The pipeline of row 14 on small data: same bits from the same seed, and SciPy's optimum."""

import numpy as np
import pytest

from examples.representations import pipeline
from fdl import nn, tree

RNG = np.random.default_rng(0)
LABEL = np.arange(90, dtype=np.int32) % 10
IMAGE = (40 * RNG.integers(0, 3, (90, 3, 3, 1)) + 10 * LABEL[:, None, None, None]).astype(np.uint8)
EXAMPLES = {"image": IMAGE, "label": LABEL}
SMALL = nn.serial(nn.flatten, nn.dense(9, 8), nn.relu, nn.dropout(0.2), nn.dense(8, 10))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    how = pipeline.Pipeline(SMALL, batch=30, epochs=2)
    once, again, other = (tree.digest(pipeline.training(how, EXAMPLES, seed).params) for seed in (0, 0, 1))
    assert once == again != other


def test_softmax_regression_ends_at_the_optimum_of_scipy():
    softmax = nn.serial(nn.flatten, nn.dense(9, 10, kernel_init=nn.zeros()))
    how = pipeline.Pipeline(softmax, epochs=1, batch=30)
    assert pipeline.testing(how, pipeline.training(how, EXAMPLES, 0), EXAMPLES) > 10  # it is not there yet
    assert pipeline.optimum_gap(EXAMPLES, softmax) == pytest.approx(0, abs=2e-6)
    assert pipeline.scipy_optimum(EXAMPLES, 1e-3, 1000) < np.log(10) - 0.1
