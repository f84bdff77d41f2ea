"""In fdl."""

import jax

from examples.benchmarks.frameworks.fdl_ import trained
from fdl import losses, nn, tree


def model(vocab, context, dim, depth, heads):
    """int (batch, time) -> (batch, time, dim), which meets the table again in the loss."""
    attend = "fused" if jax.default_backend() == "gpu" else None
    block = nn.encoder_block(dim, heads, causal=True, implementation=attend)
    return nn.serial(
        embed=nn.embedding(vocab, dim, table_init=nn.normal(0.02)),
        position=nn.learned_position(context, dim),
        blocks=nn.repeat(block, depth, unroll=depth),
        norm=nn.layer_norm(dim),
    )


def build(task):
    net = model(**task.workload.sizes)

    def loss_fn(params, state, batch, key):
        text, params = batch["text"], tree.cast(params, task.workload.precision)
        h, state = net.apply(params, state, text[:, :-1], key=key, train=True)
        logits = nn.unembed(h, params["embed"]["table"])
        return losses.cross_entropy(logits, text[:, 1:]).mean(), (state, {})

    return trained(net, loss_fn, task)
