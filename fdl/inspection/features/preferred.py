"""What a unit likes best: an input that is trained."""

from collections.abc import Callable

import jax

from fdl.checks import require_float
from fdl.optim import Transform, apply_updates
from fdl.optim.transform import require_whole


def preferred_input(
    objective: Callable[[jax.Array], jax.Array], x: jax.Array, optimizer: Transform, *, steps: int = 200
) -> jax.Array:
    """x after so many steps of the optimizer up objective(x), a number.  -> shape of x

    Penalties and what keeps x in its range belong to the objective, or to the optimizer as `optim.project_box`.
    Erhan et al. 2009, Visualizing higher-layer features of a deep network
    """
    require_float(x, "x")
    require_whole("steps", steps)

    def up(_, at):
        x, state = at
        value, grad = jax.value_and_grad(downhill)(x)
        updates, state = optimizer.update(grad, state, x, value=value, grad=grad, value_fn=downhill)
        return apply_updates(x, updates), state

    downhill = lambda x: -objective(x)
    return jax.lax.fori_loop(0, steps, up, (x, optimizer.init(x)))[0]
