"""The program of `repeat` does not grow with its depth: not its trace, not what is compiled."""

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from fdl import nn

DEPTHS = 2, 12, 48


def program(depth, gradient):
    part = nn.serial(nn.residual(nn.layer_norm(8), nn.dense(8, 16), nn.gelu, nn.dense(16, 8)), nn.batch_norm(8))
    model = nn.serial(nn.dense(5, 8), blocks=nn.repeat(nn.remat(part), depth), head=nn.dense(8, 3))
    params, state = jax.eval_shape(model.init, jax.random.key(0))

    def loss(params, state, x):
        y, state = model.apply(params, state, x, train=True)
        return jnp.mean(y**2), state

    run = jax.value_and_grad(loss, has_aux=True) if gradient else loss
    return jax.jit(run).trace(params, state, jax.ShapeDtypeStruct((4, 5), "float32"))


def equations(jaxpr):
    """All equations, with those of the functions inside."""
    total = len(jaxpr.eqns)
    for eqn in jaxpr.eqns:
        for value in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: isinstance(x, Jaxpr | ClosedJaxpr)):
            if isinstance(value, Jaxpr | ClosedJaxpr):
                total += equations(value.jaxpr if isinstance(value, ClosedJaxpr) else value)
    return total


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
def test_the_program_is_as_long_for_48_repetitions_as_for_2(gradient):
    program(2, gradient)  # the first trace of a layer also asks for the shapes that its init makes
    traced = [program(depth, gradient) for depth in DEPTHS]
    counts = [equations(trace.jaxpr.jaxpr) for trace in traced]
    assert counts[0] == counts[1] == counts[2] > 10
    lowered = [trace.lower() for trace in traced]
    lines = [len(low.as_text().splitlines()) for low in lowered]
    assert lines[0] == lines[1] == lines[2] > 50
    compiled = [len(low.compile().as_text().splitlines()) for low in (lowered[0], lowered[2])]
    assert compiled[1] == pytest.approx(compiled[0], rel=0.1)


def test_a_chain_written_out_does_grow():
    """So that the counts above are known to see a difference."""
    chain = lambda depth: nn.serial(*(nn.dense(4, 4) for _ in range(depth)))
    size = lambda model: equations(
        jax.make_jaxpr(model.apply)(*jax.eval_shape(model.init, jax.random.key(0)), jnp.ones((2, 4))).jaxpr
    )
    assert size(chain(12)) > 4 * size(chain(2))
