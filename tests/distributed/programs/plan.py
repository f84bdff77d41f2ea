"""Compile the step of GPT-2 XL for 256 devices, without running it."""

import json

from fdl import distributed
from tests.distributed.gpt_xl import planned

plan = planned(distributed.make_mesh(data=32, model=8), rows=32)
compiled = distributed.lower(*plan, platform="cpu").compile()
memory = compiled.memory_analysis()
print(
    json.dumps(
        {
            "arguments": memory.argument_size_in_bytes,
            "temporary": memory.temp_size_in_bytes,
            "collectives": distributed.count_collectives(compiled),
        }
    )
)
