"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import trained
from examples.benchmarks.workloads.recurrent import DIM, IN
from fdl import losses, nn


def model(cell):
    return nn.serial(
        read=nn.unroll(nn.lstm(IN, DIM) if cell == "lstm" else nn.gru(IN, DIM)),
        last=lambda y: y[:, -1],
        out=nn.dense(DIM, 10),
    )


def build(task):
    net = model(**task.workload.sizes)

    def loss_fn(params, state, batch, key):
        logits, state = net.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return trained(net, loss_fn, task)
