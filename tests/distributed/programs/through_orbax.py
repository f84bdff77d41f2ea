"""Through Orbax: what two processes saved of a state on a mesh is theirs again, on another mesh."""

import json
import sys

import jax
import jax.numpy as jnp

from fdl import distributed, train, tree
from fdl.distributed import fsdp, replicate
from fdl.train.checkpoint import orbax

distributed.init(heartbeat=30, timeout=60)
rows = jnp.arange(64.0).reshape(8, 8)
state = train.TrainState(jnp.int32(3), jax.random.key(0), {"kernel": rows}, {}, ())
digest, found = tree.digest(state), []
for axes in ({"data": 4}, {"model": 2, "data": 2}):
    layout = fsdp(replicate(distributed.make_mesh(**axes)), least=8)
    state = distributed.put(state, distributed.shardings(state, layout))
    if not found:
        orbax.save(sys.argv[1], state)
    again, _ = orbax.restore(sys.argv[1], state)
    same = again.params["kernel"].sharding == state.params["kernel"].sharding
    found.append([tree.digest(distributed.gather(again)) == digest, same])
print(json.dumps(found), flush=True)
