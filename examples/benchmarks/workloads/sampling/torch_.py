"""In torch: the trained model, with keys and values written into tensors made before."""

import torch
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import ready
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, HEADS
from examples.benchmarks.workloads.chargpt.torch_ import GPT, arrays_of
from examples.benchmarks.workloads.sampling import CONTEXT, MORE


def attend(part, x, keys, values, start):
    heads = lambda x: x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    q, k, v = map(heads, part.project(x).chunk(3, -1))
    end = start + x.shape[1]
    keys[:, :, start:end], values[:, :, start:end] = k, v
    y = F.scaled_dot_product_attention(q, keys[:, :, :end], values[:, :, :end], is_causal=start == 0)
    return part.output(y.transpose(1, 2).flatten(2))


def logits_of(model, tokens, cache, start):
    x = model.embed(tokens) + model.position.weight[start : start + tokens.shape[1]]
    for block, (keys, values) in zip(model.blocks, cache):
        x = x + attend(block.attend, block.norm1(x), keys, values, start)
        x = x + block.mlp(block.norm2(x))
    return model.head(model.norm(x[:, -1:]))


@torch.inference_mode()
def write(model, tokens):
    """The mean log-probability of the likeliest continuation."""
    room = (1, HEADS, CONTEXT, DIM // HEADS)
    cache = [(torch.zeros(room), torch.zeros(room)) for _ in range(DEPTH)]
    start, total = 0, torch.zeros(())
    for _ in range(MORE):
        scores = logits_of(model, tokens, cache, start)[:, -1].log_softmax(-1)
        start += tokens.shape[1]
        best, tokens = scores.max(-1, keepdim=True)
        total += best.sum()
    return total.item() / MORE


def build(task):
    model, batches = ready(GPT(**task.workload.sizes), task, arrays_of(task, DEPTH))

    def run(texts):
        return [write(model, next(batches)["text"]) for _ in range(texts)]

    return run
