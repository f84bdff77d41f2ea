"""In equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.equinox_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, HEADS, VOCAB


class MLP(eqx.Module):
    dense_0: eqx.nn.Linear
    dense_1: eqx.nn.Linear

    def __init__(self, key):
        wide, narrow = jax.random.split(key)
        self.dense_0 = eqx.nn.Linear(DIM, 4 * DIM, key=wide)
        self.dense_1 = eqx.nn.Linear(4 * DIM, DIM, key=narrow)

    def __call__(self, x):
        return self.dense_1(jax.nn.gelu(self.dense_0(x)))


class Block(eqx.Module):
    norm1: eqx.nn.LayerNorm
    attend: eqx.nn.MultiheadAttention
    norm2: eqx.nn.LayerNorm
    mlp: MLP

    def __init__(self, key):
        attend, mlp = jax.random.split(key)
        biases = dict.fromkeys(("use_query_bias", "use_key_bias", "use_value_bias", "use_output_bias"), True)
        self.attend = eqx.nn.MultiheadAttention(HEADS, DIM, **biases, key=attend)
        self.norm1, self.norm2 = eqx.nn.LayerNorm(DIM), eqx.nn.LayerNorm(DIM)
        self.mlp = MLP(mlp)

    def __call__(self, x, mask):
        h = jax.vmap(self.norm1)(x)
        x = x + self.attend(h, h, h, mask)
        return x + jax.vmap(self.mlp)(jax.vmap(self.norm2)(x))


class GPT(eqx.Module):
    embed: eqx.nn.Embedding
    position: eqx.nn.Embedding
    blocks: list[Block]
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(self, context, key):
        embed, position, head, *blocks = jax.random.split(key, 3 + DEPTH)
        self.embed = eqx.nn.Embedding(VOCAB, DIM, key=embed)
        self.position = eqx.nn.Embedding(context, DIM, key=position)
        self.blocks = [Block(key) for key in blocks]
        self.norm = eqx.nn.LayerNorm(DIM)
        self.head = eqx.nn.Linear(DIM, VOCAB, use_bias=False, key=head)

    def __call__(self, tokens):
        time = len(tokens)
        x = jax.vmap(self.embed)(tokens) + jax.vmap(self.position)(jnp.arange(time))
        mask = jnp.tril(jnp.ones((time, time), bool))
        for block in self.blocks:
            x = block(x, mask)
        return jax.vmap(lambda x: self.head(self.norm(x)))(x)


def loss(model, batch):
    return cross_entropy(jax.vmap(model)(batch["text"][:, :-1]), batch["text"][:, 1:])


def arrays_of(task):
    arrays = {}
    for path, array in task.out_first.items():
        for name in ("query", "key", "value", "output"):
            path = path.replace(f"attend/{name}/", f"attend/{name}_proj/")
        arrays[path] = array
    return arrays


def build(task):
    return trained(GPT(**task.workload.sizes, key=jax.random.key(0)), loss, task, arrays=arrays_of(task))
