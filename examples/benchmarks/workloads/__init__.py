"""The workloads: a folder each, with the sizes in its __init__.py and the mathematics in one file a framework."""

from examples.benchmarks.workloads import (
    chargpt,
    epoch,
    lenet,
    mlp,
    rbm,
    recurrent,
    resnet,
    sampling,
    separable,
    softmax,
    sweep,
    unet,
    vae,
)

FOLDERS = (softmax, mlp, lenet, resnet, separable, unet, recurrent, chargpt, sampling, vae, rbm, sweep, epoch)
WORKLOADS = {name: workload for folder in FOLDERS for name, workload in folder.WORKLOADS.items()}
