"""Two processes train together until one of them falls asleep; the other waits for it in a compiled program."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from fdl import distributed, nn, optim, train
from fdl.distributed import data_parallel, replicate


def fall_asleep():
    time.sleep(100)


distributed.init(heartbeat=60, timeout=60)
layout = data_parallel(replicate(distributed.make_mesh(data=-1)))
model, optimizer = nn.dense(4, 2), optim.sgd(0.1)
x = np.ones((8, 4), np.float32)


def loss_fn(params, state, batch, key):
    y, state = model.apply(params, state, batch)
    return jnp.mean(y**2), (state, {})


step = train.make_train_step(distributed.on_mesh(loss_fn, layout), optimizer)
state = distributed.init_state(model.init, optimizer, layout)
batch = distributed.split(x, layout)
state, log = step(state, batch)
jax.block_until_ready(log)
# The one that sleeps outlives the other, to be seen asleep too.
with train.watchdog(3 + (jax.process_index() == 0)) as alive:
    for k in range(100):
        if k == 3 and jax.process_index() == 0:
            fall_asleep()
        state, log = step(state, batch)
        jax.block_until_ready(log)
        alive()
