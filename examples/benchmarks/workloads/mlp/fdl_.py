"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import classifier
from fdl import nn


def model():
    return nn.serial(nn.flatten, hidden=nn.dense(784, 800), relu=nn.relu, out=nn.dense(800, 10))


def build(task):
    return classifier(model(), task)
