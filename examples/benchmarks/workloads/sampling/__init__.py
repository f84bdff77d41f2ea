"""Greedy decoding with a cache of keys and values: a prompt of 64 tokens, then 192 more, one at a time."""

import numpy as np

from examples.benchmarks.workload import Workload, forward
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, VOCAB

PROMPT, MORE = 64, 192
CONTEXT = PROMPT + MORE


def prompts(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Random prompts."""
    return {"text": rng.integers(0, VOCAB, (count, PROMPT)).astype(np.int32)}


WORKLOADS = {
    "sampling": Workload(
        folder="sampling",
        title=f"Sampling with a cache, char-GPT {DEPTH}×{DIM}, {MORE} tokens after {PROMPT}, batch 1",
        sizes={"context": CONTEXT},
        batch=1,
        unit=f"text of {MORE} tokens",
        curve=2,
        examples=prompts,
        products=forward(DEPTH, PROMPT, DIM, 12 * DIM) + forward(DEPTH * MORE, 1, DIM, 12 * DIM),
        peers=("torch", "linen"),
        stacked={"blocks": DEPTH},
        drawn="the likeliest token is taken; the mean of their log-probabilities is compared",
        absent={"torch.compile": "it compiles again for each length of the cache"},
    )
}
