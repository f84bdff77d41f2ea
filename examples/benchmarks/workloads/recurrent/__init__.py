"""Recurrent networks over 64 steps; the class is read from the last output."""

import numpy as np

from examples.benchmarks.workload import Workload, trained

TIME, BATCH, IN, DIM = 64, 64, 64, 128


def sequences(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Random sequences and labels."""
    return {
        "x": rng.standard_normal((count, TIME, IN), np.float32),
        "label": rng.integers(0, 10, count).astype(np.int32),
    }


def recurrent(cell: str, gates: int, **more) -> Workload:
    """A network of this cell."""
    return Workload(
        folder="recurrent",
        title=f"{cell.upper()} {IN}-{DIM}, {TIME} steps, batch {BATCH}, Adam",
        sizes={"cell": cell},
        batch=BATCH,
        examples=sequences,
        products=trained(1, TIME * BATCH, IN, gates * DIM, first=True)
        + trained(TIME, BATCH, DIM, gates * DIM)
        + trained(1, BATCH, DIM, 10),
        **more,
    )


WORKLOADS = {
    "lstm": recurrent("lstm", 4),
    "gru": recurrent(
        "gru",
        3,
        peers=("torch", "torch.compile", "linen", "equinox"),
        absent={
            "nnx": "its GRU has no bias inside the reset, which is another function",
            "haiku": "its GRU resets before the product, which is another function",
        },
    ),
}
