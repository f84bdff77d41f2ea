"""In flax linen."""

import flax.linen as nn
import jax.numpy as jnp

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, HEADS, VOCAB
from examples.benchmarks.workloads.chargpt.flax_weights import arrays_of


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(DIM, name="dense_1")(nn.gelu(nn.Dense(4 * DIM, name="dense_0")(x)))


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, mask):
        h = nn.LayerNorm(1e-5, name="norm1")(x)
        x = x + nn.MultiHeadDotProductAttention(HEADS, name="attend")(h, mask=mask)
        return x + MLP(name="mlp")(nn.LayerNorm(1e-5, name="norm2")(x))


class GPT(nn.Module):
    context: int

    @nn.compact
    def __call__(self, tokens):
        positions = jnp.arange(tokens.shape[1])[None]
        x = nn.Embed(VOCAB, DIM, name="embed")(tokens) + nn.Embed(self.context, DIM, name="position")(positions)
        mask = nn.make_causal_mask(tokens)
        for i in range(DEPTH):
            x = Block(name=f"blocks_{i}")(x, mask)
        return nn.Dense(VOCAB, use_bias=False, name="head")(nn.LayerNorm(1e-5, name="norm")(x))


def loss(model, batch):
    return cross_entropy(model(batch["text"][:, :-1]), batch["text"][:, 1:])


def build(task):
    return trained(GPT(**task.workload.sizes), loss, task, inputs=("text",), arrays=arrays_of(task))
