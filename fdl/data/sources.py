"""Small data sets of the lecture, as NumPy arrays on the host."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fdl.data.checks import LabelError, check_labels
from fdl.data.fetch import fetch
from fdl.data.idx import IdxError, read_idx
from fdl.data.split import split

Examples = dict[str, np.ndarray]

MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION_MNIST = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"


class Dataset(NamedTuple):
    """The two parts of a data set as its authors split it."""

    train: Examples
    test: Examples


class Pinned(NamedTuple):
    """A file, known by its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"

MNIST_FILES = (
    Pinned(TRAIN_IMAGES, 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    Pinned(TRAIN_LABELS, 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    Pinned(TEST_IMAGES, 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    Pinned(TEST_LABELS, 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)
FASHION_MNIST_FILES = (
    Pinned(TRAIN_IMAGES, 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    Pinned(TRAIN_LABELS, 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    Pinned(TEST_IMAGES, 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    Pinned(TEST_LABELS, 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)


def mnist(root: str | os.PathLike | None = None) -> Dataset:
    """Handwritten digits: 60,000 for training, 10,000 for testing.  http://yann.lecun.com/exdb/mnist/  CC BY-SA 3.0

    image uint8 (n, 28, 28, 1), ink is 255; label int32 (n,), 0 to 9.  For root see `fetch`.
    """
    return _idx_dataset("mnist", MNIST, MNIST_FILES, root)


def fashion_mnist(root: str | os.PathLike | None = None) -> Dataset:
    """Pictures of clothing in the form of MNIST: 60,000 and 10,000.  https://arxiv.org/abs/1708.07747  MIT licence

    image uint8 (n, 28, 28, 1); label int32 (n,): T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag,
    boot.
    """
    return _idx_dataset("fashion_mnist", FASHION_MNIST, FASHION_MNIST_FILES, root)


def digits() -> Dataset:
    """1,797 handwritten digits of 8x8, which scikit-learn carries, so that no download is needed.

    image uint8 (n, 8, 8, 1), ink is 16; label int32 (n,).  Split once and for all into 1,437 and 360 at random.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits come with scikit-learn: pip install 'fdl[examples]'") from error
    found = load_digits()
    image = found.images.astype(np.uint8)[..., None]  # pyright: ignore[reportAttributeAccessIssue]
    label = found.target.astype(np.int32)  # pyright: ignore[reportAttributeAccessIssue]
    return Dataset(*split({"image": image, "label": label}, 1437, 360, seed=0))


def idx_examples(image_path: str | os.PathLike, label_path: str | os.PathLike, classes: int = 10) -> Examples:
    """Two IDX files as {"image": uint8 (n, height, width, 1), "label": int32 (n,)}.

    Raises IdxError, with the file and the byte, if either is damaged or of another form, if their counts differ, or if
    a label is not below classes.
    """
    image, label = read_idx(image_path), read_idx(label_path)
    for path, array, axes in ((image_path, image, 3), (label_path, label, 1)):
        if array.dtype != np.uint8 or array.ndim != axes:
            raise IdxError(f"{path}: byte 2: must be uint8 with {axes} axes, got {array.dtype} with {array.ndim}")
    if len(image) != len(label):
        raise IdxError(f"{label_path}: byte 4: {len(label)} labels for the {len(image)} images of {image_path}")
    try:
        check_labels(label, classes)
    except LabelError as error:
        raise IdxError(f"{label_path}: byte {8 + (label >= classes).argmax()}: {error}") from error
    return {"image": image[..., None], "label": label.astype(np.int32)}


def _idx_dataset(folder: str, url: str, files: tuple[Pinned, ...], root: str | os.PathLike | None) -> Dataset:
    paths = [_find(folder, url, file, root) for file in files]
    return Dataset(idx_examples(paths[0], paths[1]), idx_examples(paths[2], paths[3]))


def _find(folder: str, url: str, file: Pinned, root: str | os.PathLike | None) -> Path:
    return fetch(f"{folder}/{file.name}", url + file.name, file.sha256, size=file.size, root=root)
