"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import trained
from examples.benchmarks.workloads.lenet import fdl_ as lenet
from examples.benchmarks.workloads.mlp import fdl_ as mlp
from examples.benchmarks.workloads.resnet import fdl_ as resnet
from fdl import losses, tree


def model(name):
    return {"resnet20": resnet, "mlp": mlp, "lenet": lenet}[name].model()


def build(task):
    net, precision = model(**task.workload.sizes), task.workload.precision

    def loss_fn(params, state, batch, key):
        image = batch["image"].astype(precision)
        image = image / 255 if batch["image"].dtype == "uint8" else image
        logits, state = net.apply(tree.cast(params, precision), state, image, key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return trained(net, loss_fn, task)
