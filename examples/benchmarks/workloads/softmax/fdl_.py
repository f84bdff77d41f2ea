"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import classifier
from fdl import nn


def model():
    return nn.serial(nn.flatten, out=nn.dense(784, 10))


def build(task):
    return classifier(model(), task)
