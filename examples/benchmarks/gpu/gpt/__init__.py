"""Decoder-only transformers with the input embedding as output layer: GPT-2 small, and two over characters."""

import numpy as np

from examples.benchmarks.gpu.workload import GpuWorkload
from examples.benchmarks.workload import Optimizer


def parameters(vocab: int, context: int, dim: int, depth: int) -> int:
    """How many: two tables, the blocks with all their biases, the last norm."""
    return (vocab + context) * dim + depth * (12 * dim**2 + 13 * dim) + 2 * dim


def gpt(name: str, batch: int, *, vocab: int, context: int, dim: int, depth: int, heads: int) -> GpuWorkload:
    """Tokens are drawn by Zipf's law, as words of a text are, so that rows of the embedding meet in the gradient."""
    often = 1 / np.arange(1, vocab + 1)

    def text(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        return {"text": rng.choice(vocab, (count, context + 1), p=often / often.sum()).astype(np.int32)}

    count = parameters(vocab, context, dim, depth)
    return GpuWorkload(
        folder="gpt",
        title=f"{name}, {depth}×{dim}, {heads} heads, {count:,} parameters, context {context}, batch {batch}, AdamW",
        batch=batch,
        examples=text,
        products=(),
        sizes={"vocab": vocab, "context": context, "dim": dim, "depth": depth, "heads": heads},
        optimizer=Optimizer("adamw", 3e-4),
        peers=("torch.compile",),
        stacked={"blocks": depth},
        item="token",
        items=batch * context,
        flops_per_item=6 * count + 12 * depth * dim * context,
    )


WORKLOADS = {
    "gpt2": gpt("GPT-2 small", 40, vocab=50257, context=1024, dim=768, depth=12, heads=12),
    "chargpt_384": gpt("char-GPT", 64, vocab=65, context=256, dim=384, depth=6, heads=6),
    "chargpt_128": gpt("char-GPT", 64, vocab=65, context=256, dim=128, depth=4, heads=4),
}
