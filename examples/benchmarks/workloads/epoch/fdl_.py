"""In fdl."""

import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import optimizer_of, params_of
from examples.benchmarks.workloads.epoch import EVALUATED
from examples.benchmarks.workloads.mlp.fdl_ import model
from fdl import data, losses, metrics, train


def build(task):
    net = model()
    examples = task.examples
    held_out = {name: array[:EVALUATED] for name, array in examples.items()}

    def logits_of(params, state, image, **mode):
        return net.apply(params, state, image.astype("float32") / 255, **mode)

    def loss_fn(params, state, batch, key):
        image = jax.vmap(lambda image, by: jnp.roll(image, by, (0, 1)))(batch["image"], batch["shift"])
        logits, state = logits_of(params, state, image, key=key, train=True)
        correct = (logits.argmax(-1) == batch["label"]).mean()
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {"correct": correct})

    def predict(params, state, batch):
        return logits_of(params, state, batch["image"])[0], batch["label"]

    optimizer = optimizer_of(task)
    step = train.make_train_step(loss_fn, optimizer)
    evaluate = train.make_evaluate(predict, {"correct": metrics.correct()})
    state = train.init_state(net.init, optimizer)._replace(params=params_of(task))
    batches = data.shuffled(examples, batch=task.workload.batch)

    def run(epochs):
        nonlocal state
        for _ in range(epochs):
            state, log = train.run(step, state, batches, batches.steps_per_epoch)
            evaluate(state, held_out)
        return log["loss"][:5].tolist()

    return run
