"""A decoder-only transformer over characters."""

import numpy as np

from examples.benchmarks.workload import Workload, trained

VOCAB, DIM, HEADS, DEPTH = 65, 128, 4, 4


def chargpt(context: int, batch: int) -> Workload:
    """Four blocks of width 128, four heads."""

    def text(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        return {"text": rng.integers(0, VOCAB, (count, context + 1)).astype(np.int32)}

    rows, head_dim = batch * context, DIM // HEADS
    block = trained(DEPTH, rows, DIM, 3 * DIM) + trained(DEPTH, rows, DIM, DIM)
    block += trained(DEPTH * batch * HEADS, context, head_dim, context)
    block += trained(DEPTH * batch * HEADS, context, context, head_dim)
    block += trained(DEPTH, rows, DIM, 4 * DIM) + trained(DEPTH, rows, 4 * DIM, DIM)
    return Workload(
        folder="chargpt",
        title=f"char-GPT {DEPTH}×{DIM}, {HEADS} heads, context {context}, batch {batch}, Adam, no dropout",
        sizes={"context": context},
        batch=batch,
        examples=text,
        products=block + trained(1, rows, DIM, VOCAB),
        stacked={"blocks": DEPTH},
    )


WORKLOADS = {"chargpt_64": chargpt(64, 12), "chargpt_256": chargpt(256, 8)}
