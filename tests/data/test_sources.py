"""Facts about the data sets, and what importing them costs."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fdl.data import IdxError, digits, fashion_mnist, fit_moments, idx_examples, mnist, tiny_shakespeare, write_idx

needs_data = pytest.mark.skipif("FDL_DATA" not in os.environ, reason="FDL_DATA names no directory with the data sets")


def _require_form(examples, count, side):
    assert examples["image"].shape == (count, side, side, 1)
    assert examples["image"].dtype == np.uint8
    assert examples["label"].shape == (count,)
    assert examples["label"].dtype == np.int32


@needs_data
def test_mnist_is_the_known_one():
    train, test = mnist()
    _require_form(train, 60_000, 28)
    _require_form(test, 10_000, 28)
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train["label"]).tolist() == counts
    assert np.bincount(test["label"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    mean, std = fit_moments(train["image"], (0, 1, 2))
    np.testing.assert_allclose([mean.item() / 255, std.item() / 255], [0.1307, 0.3081], atol=5e-5)
    assert train["label"][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    each = fit_moments(train["image"])
    assert abs(np.sum(np.square(np.where(each.mean > 0, each.std / 255, 0), dtype=float)) - 52.725) < 5e-4


@needs_data
def test_fashion_mnist_is_the_known_one():
    train, test = fashion_mnist()
    _require_form(train, 60_000, 28)
    _require_form(test, 10_000, 28)
    assert np.bincount(train["label"]).tolist() == [6000] * 10
    assert np.bincount(test["label"]).tolist() == [1000] * 10
    mean, std = fit_moments(train["image"], (0, 1, 2))
    np.testing.assert_allclose([mean.item() / 255, std.item() / 255], [0.2860, 0.3530], atol=5e-5)


@needs_data
def test_tiny_shakespeare_is_the_known_one():
    text = tiny_shakespeare()
    assert len(text) == 1_115_394
    assert len(set(text)) == 65
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")


def test_digits_are_split_once_and_for_all():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    train, test = digits()
    _require_form(train, 1437, 8)
    _require_form(test, 360, 8)
    assert (train["image"].min(), train["image"].max()) == (0, 16)
    assert min(np.bincount(test["label"], minlength=10)) > 20
    both = np.concatenate([train["image"], test["image"]]).reshape(1797, 64)
    label = np.concatenate([train["label"], test["label"]])
    found = load_digits()
    ours = sorted(zip(map(bytes, both), label.tolist()))
    assert ours == sorted(zip(map(bytes, found.data.astype(np.uint8)), found.target.tolist()))
    np.testing.assert_array_equal(digits().test["label"], test["label"])


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'fdl\[examples\]'"):
        digits()


@pytest.mark.parametrize(
    ("image", "label", "said"),
    [
        (
            np.zeros((3, 2, 2), np.uint8),
            np.zeros(4, np.uint8),
            r"labels: byte 4: 4 labels for the 3 images of .*images",
        ),
        (np.zeros((3, 2, 2), np.uint8), np.array([0, 9, 10], np.uint8), r"labels: byte 10: .* got 10 at index \(2,\)"),
        (np.zeros((3, 2), np.uint8), np.zeros(3, np.uint8), r"images: .* uint8 with 3 axes, got uint8 with 2"),
        (np.zeros((3, 2, 2), np.uint8), np.zeros(3, np.int16), r"labels: .* uint8 with 1 axes, got int16 with 1"),
    ],
)
def test_files_that_do_not_fit_each_other(tmp_path, image, label, said):
    write_idx(tmp_path / "images", image)
    write_idx(tmp_path / "labels", label)
    with pytest.raises(IdxError, match=said):
        idx_examples(tmp_path / "images", tmp_path / "labels")


def test_importing_loads_nothing_that_is_not_needed():
    code = "import jax, numpy, sys; had = set(sys.modules); import fdl.data; print(*sorted(set(sys.modules) - had))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"sklearn", "scipy", "torch", "optax", "urllib.request", "http.client", "ssl", "pandas", "matplotlib"}
    assert not heavy & set(done.stdout.split())
