"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import classifier
from fdl import nn


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
    return classifier(model(), task)
