"""What the parts of a model put out, without editing the model."""

from typing import Any

import jax

from fdl.inspection.probe import by_call, watch
from fdl.nn.layer import Layer, Params, State
from fdl.tree import Where


def capture(
    model: Layer,
    where: Where,
    params: Params,
    state: State,
    *x: Any,
    key: jax.Array | None = None,
    train: bool = False,
) -> tuple[Any, State, dict[str, Any]]:
    """What apply returns, and the outputs of the parts meant by path: (y, state, {path: output}).

    where reads as in `nn.rewire`; the model itself has the path "".  A second call of the same part is under path#2, a
    third under path#3.  Outputs inside `repeat` have a leading axis of its depth.  A part that was not called, and a
    group of parts, has no entry.

    A pure function like apply: it runs under jit, grad, vmap and scan.  Only a part that some forward itself calls
    inside a JAX transform cannot be seen from outside, which raises TypeError: leave it out of where.

    >>> model = nn.serial(nn.dense(4, 3), nn.relu, head=nn.dense(3, 2))
    >>> y, state, values = capture(model, "dense_*", params, state, x)
    >>> values["dense_0"].shape
    (5, 3)
    """

    def look(path, run, params, state, x, given):
        y, state = run(params, state, *x)
        return y, state, y

    y, state, seen = watch(model, where, look, params, state, *x, key=key, train=train)
    return y, state, by_call(seen)
