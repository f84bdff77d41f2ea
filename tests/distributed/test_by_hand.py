"""Ring attention, the pipeline and parallel experts against the same on one device."""

import json
from pathlib import Path

import pytest

from tests.distributed.child import report, start

GOLDEN = json.loads((Path(__file__).parent / "golden" / "by_hand.json").read_text())
RINGS = ["ring_whole", "ring_causal", "ring_window", "ring_both_ways"]


@pytest.fixture(scope="module")
def found():
    return report(start("by_hand"))


@pytest.mark.parametrize("case", [*RINGS, "sequence", "pipeline", "experts", "experts_training"])
def test_values_and_gradients_are_those_of_one_device(found, case):
    assert found["errors"][case]["values"] < 1e-6
    assert found["errors"][case]["slopes"] < 3e-6


def test_a_ring_of_16_bits_sums_in_float32(found):
    assert found["errors"]["ring_bfloat16"]["values"] < 2**-7


@pytest.mark.parametrize("case", list(GOLDEN))
def test_devices_talk_as_often_as_they_must(found, case):
    assert found["collectives"][case] == GOLDEN[case]
