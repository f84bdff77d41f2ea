"""In fdl: the trained model, cached, in one compiled scan."""

import itertools

import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import params_of
from examples.benchmarks.workloads.chargpt.fdl_ import model
from examples.benchmarks.workloads.sampling import CONTEXT, MORE
from fdl import nn
from fdl.compile import compile


def build(task):
    net, params = nn.unstack(model(**task.workload.sizes), params_of(task))
    decoder = nn.cached(net, batch=1, length=CONTEXT)
    _, empty = decoder.init(jax.random.key(0))

    @compile
    def write(params, memory, prompt):
        def step(carry, _):
            tokens, memory = carry
            logits, memory = decoder.apply(params, memory, tokens)
            scores = nn.log_softmax(logits[:, -1])
            return (scores.argmax(-1)[:, None].astype(jnp.int32), memory), scores.max(-1)

        (token, memory), first = step((prompt, memory), None)
        _, rest = jax.lax.scan(step, (token, memory), length=MORE - 1)
        return (first.sum() + rest.sum()) / MORE

    prompts = itertools.cycle(jax.device_put([batch["text"] for batch in task.batches]))

    def run(texts):
        return [float(write(params, empty, next(prompts))) for _ in range(texts)]

    return run
