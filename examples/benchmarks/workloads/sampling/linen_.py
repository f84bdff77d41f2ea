"""In flax linen: decode=True, which takes one token at a time, the prompt too, in one jitted scan."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.linen_ import variables_of
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, HEADS, VOCAB
from examples.benchmarks.workloads.chargpt.flax_weights import arrays_of
from examples.benchmarks.workloads.chargpt.linen_ import MLP
from examples.benchmarks.workloads.sampling import CONTEXT, MORE, PROMPT


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.LayerNorm(1e-5, name="norm1")(x)
        x = x + nn.MultiHeadDotProductAttention(HEADS, decode=True, name="attend")(h)
        return x + MLP(name="mlp")(nn.LayerNorm(1e-5, name="norm2")(x))


class Decoder(nn.Module):
    @nn.compact
    def __call__(self, tokens, position):
        x = nn.Embed(VOCAB, DIM, name="embed")(tokens) + nn.Embed(CONTEXT, DIM, name="position")(position)
        for i in range(DEPTH):
            x = Block(name=f"blocks_{i}")(x)
        return nn.Dense(VOCAB, use_bias=False, name="head")(nn.LayerNorm(1e-5, name="norm")(x))


def build(task):
    model = Decoder()
    whole = jnp.zeros((1, CONTEXT), jnp.int32)  # its length is that of the cache
    variables = variables_of(model, task, whole, whole, arrays=arrays_of(task))

    @jax.jit
    def write(params, cache, prompt):
        def step(carry, position):
            token, cache = carry
            logits, after = model.apply(
                {"params": params, "cache": cache}, token, position[None, None], mutable="cache"
            )
            scores = jax.nn.log_softmax(logits[:, -1])
            following = jnp.where(position + 1 < PROMPT, prompt[:, position + 1], scores.argmax(-1))
            return (following[:, None].astype(jnp.int32), after["cache"]), scores.max()

        _, scores = jax.lax.scan(step, (prompt[:, :1], cache), jnp.arange(CONTEXT - 1))
        return scores[PROMPT - 1 :].sum() / MORE

    prompts = itertools.cycle(jax.device_put([batch["text"] for batch in task.batches]))

    def run(texts):
        return [float(write(variables["params"], variables["cache"], next(prompts))) for _ in range(texts)]

    return run
