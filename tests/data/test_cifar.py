"""CIFAR-10's records, and files that hold something else."""

import hashlib
import lzma
import os

import numpy as np
import pytest

from fdl.data import CifarError, FetchError, cifar, cifar10, cifar10_examples

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 32, 32, 3), np.uint8)
LABELS = np.array([3, 0, 9, 5], np.uint8)
RECORDS = b"".join(
    bytes([label]) + b"".join(image[..., colour].tobytes() for colour in range(3))
    for image, label in zip(IMAGES, LABELS)
)


@pytest.mark.parametrize("pack", [bytes, lzma.compress])
def test_records_become_images_with_the_colours_last(tmp_path, pack):
    path = tmp_path / "batch.bin"
    path.write_bytes(pack(RECORDS))
    found = cifar10_examples(path)
    np.testing.assert_array_equal(found["image"], IMAGES)
    np.testing.assert_array_equal(found["label"], LABELS)
    assert (found["image"].dtype, found["label"].dtype) == (np.uint8, np.int32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got 0 bytes"),
        (RECORDS[:-1], "got 12,291 bytes"),
        (b"\x0a" + RECORDS[1:], "batch.bin: label"),
        (lzma.compress(RECORDS)[:-40], "is damaged"),
        (lzma.compress(2 * RECORDS), "1 to 7 records"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, content, message, monkeypatch):
    monkeypatch.setattr(cifar, "MOST", 7)
    (tmp_path / "batch.bin").write_bytes(content)
    with pytest.raises(CifarError, match=message):
        cifar10_examples(tmp_path / "batch.bin")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files of four records, one of them packed, in the directory that FDL_DATA names."""
    monkeypatch.setattr(cifar, "FILE", 4)
    monkeypatch.setenv("FDL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cifar10"
    folder.mkdir()
    (folder / "data_batch_1.bin").write_bytes(RECORDS)
    (folder / "data_batch_2.bin.xz").write_bytes(lzma.compress(RECORDS[cifar.RECORD :] + RECORDS[: cifar.RECORD]))
    (folder / "test_batch.bin").write_bytes(RECORDS)
    return folder


def test_only_the_files_that_are_needed_are_read_in_order(folder):
    train, test = cifar10(train=6, test=3)
    np.testing.assert_array_equal(train["image"], IMAGES[[0, 1, 2, 3, 1, 2]])
    np.testing.assert_array_equal(train["label"], LABELS[[0, 1, 2, 3, 1, 2]])
    np.testing.assert_array_equal(test["image"], IMAGES[:3])
    with pytest.raises(FetchError, match=r"(?s)data_batch_3 is in none of.*unpack https.*copy data_batch_3.bin"):
        cifar10(train=9, test=3)


def test_a_file_with_too_few_records_is_refused(folder):
    (folder / "test_batch.bin").write_bytes(RECORDS[: 3 * cifar.RECORD])
    with pytest.raises(CifarError, match=r"test_batch\.bin must hold 4 records, got 3"):
        cifar10(train=1, test=1)


@pytest.mark.parametrize(("train", "test", "said"), [(21, 1, "train must be 1 to 20 .*21"), (1, 0, "test must be 1")])
def test_more_than_there_are_or_none_is_refused(folder, train, test, said):
    with pytest.raises(ValueError, match=said):
        cifar10(train=train, test=test)


@pytest.mark.skipif("FDL_DATA" not in os.environ, reason="FDL_DATA names no directory with the data sets")
def test_the_first_file_is_the_known_one():
    image, label = cifar10(train=10_000, test=1_000).train.values()
    records = np.concatenate([label[:, None].astype(np.uint8), image.transpose(0, 3, 1, 2).reshape(10_000, -1)], 1)
    assert hashlib.md5(records.tobytes()).hexdigest() == "5dd7e06a14cb22eb9f671a540d1b7c25"  # of the published file
    assert np.bincount(label).tolist() == [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981]
