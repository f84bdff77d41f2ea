"""What a workload is: sizes, data, optimizer and the products a step is made of; its mathematics is one file a peer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

JAX_PEERS = ("linen", "nnx", "equinox", "haiku")
TORCH_PEERS = ("torch", "torch.compile")
PEERS = (*TORCH_PEERS, *JAX_PEERS)


class Product(NamedTuple):
    """`times` products (m, k) @ (k, n) in one unit of work."""

    times: int
    m: int
    k: int
    n: int


class Optimizer(NamedTuple):
    """Adam, or stochastic gradient descent with this momentum where kind is "sgd".

    "adamw" is Adam as transformers are trained: b2 = 0.95, and a decay of 0.1 of kernels and tables.
    """

    kind: str
    learning_rate: float
    momentum: float = 0.9


ADAM = Optimizer("adam", 1e-3)


@dataclass(frozen=True)
class Workload:
    """One unit of work, the same for every framework.

    `folder` holds a file for each framework; `sizes` are the arguments of its models.  `examples(rng, count)` makes
    the data.  `flattened` names the kernels behind a flattened image, (height, width, dim), and `stacked` those parts
    that `repeat` stacks, with their number.  The losses of the first `curve` units are compared.  `drawn` says how
    random numbers were made equal, `absent` why a peer has no file.
    """

    folder: str
    title: str
    batch: int
    examples: Callable[[np.random.Generator, int], dict[str, np.ndarray]]
    products: tuple[Product, ...]
    sizes: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Optimizer = ADAM
    peers: tuple[str, ...] = PEERS
    unit: str = "step"
    batches: int = 8
    curve: int = 5
    flattened: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    stacked: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    drawn: str = "nothing is drawn"

    @property
    def flops(self) -> int:
        """Floating-point operations of the products of one unit."""
        return sum(2 * p.times * p.m * p.k * p.n for p in self.products)


def forward(times: int, m: int, k: int, n: int) -> tuple[Product, ...]:
    """One product."""
    return (Product(times, m, k, n),)


def trained(times: int, m: int, k: int, n: int, *, first: bool = False) -> tuple[Product, ...]:
    """A product and those of its gradients; that of the input is left out for the first layer."""
    of_input = () if first else (Product(times, m, n, k),)
    return (Product(times, m, k, n), Product(times, k, m, n), *of_input)


def conv(batch: int, side: int, window: int, in_dim: int, out_dim: int, *, first: bool = False) -> tuple[Product, ...]:
    """A convolution with side x side positions as the product it is equal to, and its gradients."""
    return trained(1, batch * side * side, window * window * in_dim, out_dim, first=first)


def images(side: int, dim: int, classes: int = 10) -> Callable[[np.random.Generator, int], dict[str, np.ndarray]]:
    """Random images and labels."""

    def examples(rng, count):
        return {
            "image": rng.standard_normal((count, side, side, dim), np.float32),
            "label": rng.integers(0, classes, count).astype(np.int32),
        }

    return examples
