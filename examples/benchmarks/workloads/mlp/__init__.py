"""A perceptron with one hidden layer."""

from examples.benchmarks.workload import Optimizer, Workload, images, trained

WORKLOADS = {
    "mlp": Workload(
        folder="mlp",
        title="Perceptron 784-800-10, batch 100, SGD with momentum",
        batch=100,
        examples=images(28, 1),
        products=trained(1, 100, 784, 800, first=True) + trained(1, 100, 800, 10),
        optimizer=Optimizer("sgd", 0.05),
    )
}
