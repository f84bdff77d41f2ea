"""In torch."""

import torch
from torch.nn import functional as F

from examples.benchmarks.gpu.torch_ import trained
from examples.benchmarks.workloads.lenet.torch_ import LeNet
from examples.benchmarks.workloads.mlp.torch_ import Perceptron
from examples.benchmarks.workloads.resnet.torch_ import ResNet

MODELS = {"resnet20": ResNet, "mlp": Perceptron, "lenet": LeNet}


def loss(model, batch):
    image = batch["image"]
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    return F.cross_entropy(model(image), batch["label"])


def build(task):
    return trained(MODELS[task.workload.sizes["name"]](), loss, task)
