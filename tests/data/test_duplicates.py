"""Items in two sets at once, and the test set that is opened once."""

import contextlib
import json
import threading

import numpy as np
import pytest

from fdl.checks import ShapeError, TreeError
from fdl.data import OpenedError, duplicates, open_once

RNG = np.random.default_rng(0)
EXAMPLES = {"image": RNG.integers(0, 256, (5, 4, 4, 1), dtype=np.uint8), "label": np.arange(5, dtype=np.int32)}


def test_every_pair_is_found_and_no_other():
    first, second = RNG.integers(0, 2, (60, 2, 2)), RNG.integers(0, 2, (40, 2, 2))
    want = [(i, j) for i in range(60) for j in range(40) if (first[i] == second[j]).all()]
    assert len(want) > 50
    np.testing.assert_array_equal(duplicates(first, second), want)


def test_a_test_item_that_was_trained_on_is_found():
    train, test = RNG.integers(0, 256, (500, 8, 8), dtype=np.uint8), RNG.integers(0, 256, (100, 8, 8), dtype=np.uint8)
    assert duplicates(train, test).shape == (0, 2)
    test[17] = train[401]
    assert duplicates(train, test).tolist() == [[401, 17]]
    test[17, 0, 0] ^= 1
    assert not len(duplicates(train, test))


def test_items_that_cannot_be_equal_are_refused():
    with pytest.raises(ShapeError, match="one shape and type"):
        duplicates(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ShapeError, match="one shape and type"):
        duplicates(np.zeros((3, 2)), np.zeros((3, 2), np.float32))


def test_a_test_set_is_opened_once(tmp_path):
    path = tmp_path / "new" / "ledger.json"
    assert open_once(EXAMPLES, path, purpose="the figure of table 2") is EXAMPLES
    written = path.read_bytes()
    assert json.loads(written)["examples"] == 5
    with pytest.raises(OpenedError, match=r"the same examples were opened on .* for 'the figure of table 2'"):
        open_once(EXAMPLES, path, purpose="one more look")
    with pytest.raises(OpenedError, match=r"other \(5\) examples"):
        open_once(EXAMPLES | {"label": np.zeros(5, np.int32)}, path, purpose="one more look")
    assert path.read_bytes() == written
    assert [file.name for file in path.parent.iterdir()] == ["ledger.json"]


def test_of_many_at_once_one_opens_it(tmp_path):
    opened, start = [], threading.Barrier(8)

    def open_it(i):
        start.wait()
        with contextlib.suppress(OpenedError):
            opened.append(open_once(EXAMPLES, tmp_path / "ledger.json", purpose=str(i)) and i)

    threads = [threading.Thread(target=open_it, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads((tmp_path / "ledger.json").read_text())["purpose"]] == list(map(str, opened))


def test_a_ledger_that_cannot_be_read_counts_as_opened(tmp_path):
    (tmp_path / "ledger.json").write_text("torn")
    with pytest.raises(OpenedError, match="counts as opened"):
        open_once(EXAMPLES, tmp_path / "ledger.json", purpose="a figure")


def test_what_is_no_data_set_opens_nothing(tmp_path):
    with pytest.raises(TreeError):
        open_once({}, tmp_path / "ledger.json", purpose="a figure")
    assert not list(tmp_path.iterdir())
