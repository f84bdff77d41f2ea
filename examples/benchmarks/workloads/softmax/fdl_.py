"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import trained
from fdl import losses, nn


def model():
    return nn.serial(nn.flatten, out=nn.dense(784, 10))


def build(task):
    net = model()

    def loss_fn(params, state, batch, key):
        logits, state = net.apply(params, state, batch["image"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return trained(net, loss_fn, task)
