"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import trained
from fdl import losses, nn


def model():
    return nn.serial(
        conv0=nn.conv(1, 20, 5, padding="valid"),
        relu0=nn.relu,
        pool0=nn.max_pool(2),
        conv1=nn.conv(20, 50, 5, padding="valid"),
        relu1=nn.relu,
        pool1=nn.max_pool(2),
        flatten=nn.flatten,
        hidden=nn.dense(800, 500),
        relu2=nn.relu,
        out=nn.dense(500, 10),
    )


def build(task):
    net = model()

    def loss_fn(params, state, batch, key):
        logits, state = net.apply(params, state, batch["image"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return trained(net, loss_fn, task)
