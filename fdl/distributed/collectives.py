"""How often a compiled program has its devices talk to each other: a split that was lost shows as another count."""

import re
from collections import Counter
from typing import Any

# Gradients split over devices are summed by a reduce-scatter, or on a CPU by an all-reduce: one class, "reduce".
KINDS = {
    "all-reduce": "reduce",
    "reduce-scatter": "reduce",
    "all-gather": "gather",
    "all-to-all": "exchange",
    "ragged-all-to-all": "exchange",
    "collective-permute": "permute",
    "collective-broadcast": "broadcast",
}
CALL = re.compile(rf" ({'|'.join(sorted(KINDS, key=len, reverse=True))})(?:-start)?\(")


def count_collectives(compiled: Any) -> dict[str, int]:
    """Collectives in a compiled program by class: {"gather": 2, "reduce": 1}; one in a loop counts once.

    compiled is what jax.jit(f).lower(...).compile() gives, or `step.lower(...)` of a Step's function.
    """
    return dict(sorted(Counter(KINDS[name] for name in CALL.findall(compiled.as_text())).items()))
