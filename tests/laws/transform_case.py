"""One optimizer under law: its state in bytes, and how to make it by its learning rate."""

from typing import NamedTuple

from fdl import optim


class Case(NamedTuple):
    """An optimizer, its state in bytes per parameter and in counters of four bytes, and how to make it by its rate.

    needs_loss: it reads value, grad and value_fn from the extras.
    """

    optimizer: optim.Transform
    per_parameter: int
    counters: int
    by_rate: object = None
    needs_loss: bool = False
