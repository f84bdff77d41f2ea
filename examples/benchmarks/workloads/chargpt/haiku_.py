"""In haiku."""

import haiku as hk
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, HEADS, VOCAB


def norm(x, name):
    return hk.LayerNorm(-1, True, True, name=name)(x)


def block(x, mask, name):
    with hk.name_scope(name):
        start = hk.initializers.VarianceScaling()
        attend = hk.MultiHeadAttention(HEADS, DIM // HEADS, w_init=start, model_size=DIM, name="attend")
        h = norm(x, "norm1")
        x = x + attend(h, h, h, mask)
        h = hk.Linear(4 * DIM, name="dense_0")(norm(x, "norm2"))
        return x + hk.Linear(DIM, name="dense_1")(jax.nn.gelu(h))


def loss(batch, context):
    tokens = batch["text"][:, :-1]
    time = tokens.shape[1]
    x = hk.Embed(VOCAB, DIM, name="embed")(tokens) + hk.Embed(context, DIM, name="position")(jnp.arange(time))
    mask = jnp.tril(jnp.ones((1, 1, time, time), bool))
    for i in range(DEPTH):
        x = block(x, mask, f"blocks_{i}")
    logits = hk.Linear(VOCAB, with_bias=False, name="head")(norm(x, "norm"))
    return cross_entropy(logits, batch["text"][:, 1:])


def arrays_of(task):
    names = lambda path: path.replace("attend/output", "attend/linear").replace("mlp/", "")
    return {names(path): array for path, array in task.apart.items()}


def build(task):
    return trained(lambda batch: loss(batch, **task.workload.sizes), task, arrays_of(task))
