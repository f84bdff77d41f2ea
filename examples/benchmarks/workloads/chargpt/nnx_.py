"""In flax nnx."""

import jax.numpy as jnp
from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, HEADS, VOCAB
from examples.benchmarks.workloads.chargpt.flax_weights import arrays_of


class MLP(nnx.Module):
    def __init__(self, rngs):
        self.dense_0 = nnx.Linear(DIM, 4 * DIM, rngs=rngs)
        self.dense_1 = nnx.Linear(4 * DIM, DIM, rngs=rngs)

    def __call__(self, x):
        return self.dense_1(nnx.gelu(self.dense_0(x)))


class Block(nnx.Module):
    def __init__(self, rngs):
        self.norm1 = nnx.LayerNorm(DIM, epsilon=1e-5, rngs=rngs)
        self.attend = nnx.MultiHeadAttention(HEADS, DIM, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(DIM, epsilon=1e-5, rngs=rngs)
        self.mlp = MLP(rngs)

    def __call__(self, x, mask):
        x = x + self.attend(self.norm1(x), mask=mask)
        return x + self.mlp(self.norm2(x))


class GPT(nnx.Module):
    def __init__(self, context, rngs):
        self.embed = nnx.Embed(VOCAB, DIM, rngs=rngs)
        self.position = nnx.Embed(context, DIM, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(DEPTH)])
        self.norm = nnx.LayerNorm(DIM, epsilon=1e-5, rngs=rngs)
        self.head = nnx.Linear(DIM, VOCAB, use_bias=False, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens) + self.position(jnp.arange(tokens.shape[1])[None])
        mask = nnx.make_causal_mask(tokens)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))


def loss(model, batch):
    return cross_entropy(model(batch["text"][:, :-1]), batch["text"][:, 1:])


def build(task):
    return trained(GPT(**task.workload.sizes, rngs=nnx.Rngs(0)), loss, task, arrays_of(task))
