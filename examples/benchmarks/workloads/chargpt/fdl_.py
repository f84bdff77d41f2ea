"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import trained
from examples.benchmarks.workloads.chargpt import DEPTH, DIM, HEADS, VOCAB
from fdl import losses, nn


def model(context):
    return nn.serial(
        embed=nn.embedding(VOCAB, DIM),
        position=nn.learned_position(context, DIM),
        blocks=nn.repeat(nn.encoder_block(DIM, HEADS, causal=True), DEPTH),
        norm=nn.layer_norm(DIM),
        head=nn.dense(DIM, VOCAB, use_bias=False),
    )


def build(task):
    net = model(**task.workload.sizes)

    def loss_fn(params, state, batch, key):
        text = batch["text"]
        logits, state = net.apply(params, state, text[:, :-1], key=key, train=True)
        return losses.cross_entropy(logits, text[:, 1:]).mean(), (state, {})

    return trained(net, loss_fn, task)
