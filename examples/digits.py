"""Train a small network on handwritten digits, offline, in seconds:  python examples/digits.py [FOLDER]"""

import sys
import time

import jax

from fdl import data, losses, metrics, nn, optim, train, tree

EPOCHS, RUN = 20, sys.argv[1] if len(sys.argv) > 1 else "runs/digits"
train_set, test_set = data.digits()
train_set, valid_set = data.hold_out(train_set, 137)
batches = data.shuffled(train_set, batch=64, seed=0)
body = nn.serial(nn.conv(1, 32, 3), nn.relu, nn.conv(32, 32, 3), nn.relu, nn.max_pool(2), nn.flatten)
model = nn.serial(body=body, noise=nn.dropout(0.3), head=nn.dense(512, 10))
optimizer = optim.adamw(optim.cosine(3e-3, EPOCHS * batches.steps_per_epoch), weight_decay=1e-2)


def loss_fn(params, state, batch, key):
    logits, state = model.apply(params, state, batch["image"] / 16, key=key, train=True)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


def predict(params, state, batch):
    return model.apply(params, state, batch["image"] / 16)[0], batch["label"]


step = train.make_train_step(loss_fn, optimizer)
evaluate = train.make_evaluate(predict, {"correct": metrics.correct()})
state = train.init_state(model.init, optimizer, seed=0)
if train.checkpoint.latest(RUN) is not None:
    state, _ = train.checkpoint.restore(RUN, state)

print(f"device {jax.devices()[0].device_kind}, jax {jax.__version__}\n{tree.table(state.params)}")
while (epoch := int(state.step) // batches.steps_per_epoch) < EPOCHS:
    start = time.perf_counter()
    state, log = train.run(step, state, batches, batches.steps_per_epoch)
    speed = batches.steps_per_epoch * batches.batch / (time.perf_counter() - start)
    valid = evaluate(state, valid_set)["correct"]
    print(f"epoch {epoch + 1:2}  loss {log['loss'].mean():.4f}  valid {valid}/137  {speed:,.0f} examples/s")
    train.checkpoint.save(RUN, state)

print(f"test {evaluate(state, test_set)['correct']}/360  params {tree.digest(state.params)[:16]}")
print(f"checkpoint in {RUN}\nthe same command goes on from there; with the name of another folder it starts anew")
