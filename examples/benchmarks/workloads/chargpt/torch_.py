"""In torch, with one projection for queries, keys and values."""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, HEADS, VOCAB


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, x):
        heads = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = map(heads, self.project(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attend = Attention(dim, heads)
        wide, narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.mlp = nn.Sequential(OrderedDict(dense_0=wide, gelu=nn.GELU("tanh"), dense_1=narrow))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Position(nn.Module):
    def __init__(self, context):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(context, DIM))

    def forward(self, x):
        return x + self.weight[: x.shape[1]]


class GPT(nn.Module):
    def __init__(self, context):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, DIM)
        self.position = Position(context)
        self.blocks = nn.Sequential(*(Block(DIM, HEADS) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, VOCAB, bias=False)

    def forward(self, tokens):
        return self.head(self.norm(self.blocks(self.position(self.embed(tokens)))))


def loss(model, batch):
    text = batch["text"]
    return F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())


def arrays_of(task, depth):
    arrays = task.out_first
    for i in range(depth):
        for name in ("weight", "bias"):
            parts = [arrays.pop(f"blocks/{i}/attend/{part}/{name}") for part in ("query", "key", "value")]
            arrays[f"blocks/{i}/attend/project/{name}"] = np.concatenate(parts)
    return arrays


def build(task):
    return trained(GPT(**task.workload.sizes), loss, task, arrays_of(task, DEPTH))
