"""The same in twelve lines, with the training helper:  python examples/digits_short.py"""

from fdl import data, losses, nn, optim, train

digits = data.digits()
model = nn.serial(nn.flatten, nn.dense(64, 128), nn.relu, nn.dense(128, 10))
optimizer = optim.adam(1e-3)


def loss_fn(params, state, batch, key):
    logits, state = model.apply(params, state, batch["image"] / 16, key=key, train=True)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


step, state = train.make_train_step(loss_fn, optimizer), train.init_state(model.init, optimizer)
state, history = train.fit(step, state, data.shuffled(digits.train, batch=64), epochs=20, directory="runs/short")
