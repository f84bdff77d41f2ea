"""Networks of the CPU benchmark at the sizes of a GPU: ResNet-20 in bfloat16, a perceptron and a LeNet on MNIST."""

import numpy as np

from examples.benchmarks.gpu.workload import GpuWorkload
from examples.benchmarks.workload import images
from examples.benchmarks.workloads import WORKLOADS as ON_CPU

GRAPHS = ("torch.graphs",)  # torch.compile with CUDA graphs, since these steps are many small kernels


def mnist(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """The first training images."""
    from fdl import data

    train, _ = data.mnist()
    return {"image": train["image"][:count], "label": train["label"][:count].astype(np.int32)}


def workload(name: str, title: str, batch: int, batches: int, examples, precision: str) -> GpuWorkload:
    """The model of this name, with the optimizer that it has on a CPU."""
    of = ON_CPU[name]
    return GpuWorkload(
        folder="images",
        title=f"{title}, batch {batch}, SGD with momentum",
        batch=batch,
        batches=batches,
        examples=examples,
        products=(),
        sizes={"name": name},
        optimizer=of.optimizer,
        peers=GRAPHS,
        flattened=of.flattened,
        precision=precision,
        items=batch,
        flops_per_item=of.flops // of.batch,
    )


WORKLOADS = {
    "resnet20": workload("resnet20", "ResNet-20 with batch norm, 32×32×3", 512, 8, images(32, 3), "bfloat16"),
    "mnist_mlp": workload("mlp", "Perceptron 784-800-10, MNIST", 100, 600, mnist, "float32"),
    "mnist_cnn": workload("lenet", "LeNet-like, MNIST", 100, 600, mnist, "float32"),
}
