"""Join the others, and say who one is."""

import json

import jax

from fdl import distributed

distributed.init(heartbeat=30, timeout=60)
print(json.dumps([jax.process_index(), jax.process_count(), jax.device_count()]))
