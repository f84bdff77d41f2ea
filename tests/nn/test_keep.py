"""What a loop over layers keeps for its backward pass, and that keeping less changes no derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.cpu.sums import stacks_from
from fdl.nn.keep import keeping_costly

DEPTH = 3
BLOCK = nn.encoder_block(8, 2, causal=True, rate=0.1)
X = jax.random.normal(jax.random.key(0), (2, 5, 8))


def kept(part, x):
    """The shapes, without depth, of what the forward loop of a gradient writes for each turn."""
    model = nn.repeat(part, DEPTH)
    params, state = model.init(jax.random.key(1))
    loss = lambda params, x: jnp.sum(model.apply(params, state, x, key=jax.random.key(2), train=True)[0])
    program = jax.make_jaxpr(jax.grad(loss))(params, x).jaxpr
    loops = [equation for equation in program.eqns if equation.primitive.name == "scan"]
    assert len(loops) == 2
    written = loops[0].outvars
    return [v.aval.shape[1:] for v in written[stacks_from(written, loops[0].params["jaxpr"].jaxpr.outvars) :]]


def test_logits_and_what_is_done_element_by_element_are_not_kept():
    shapes = kept(BLOCK, X)
    assert (2, 2, 5, 5) not in shapes
    # Into the two layers of the MLP goes one product each, with its input or its output; autodiff alone keeps eleven.
    assert sum(np.prod(shape) == 2 * 5 * 32 for shape in shapes) == 1


@pytest.mark.parametrize("part", [nn.remat(nn.mlp(8, 32, 8)), nn.serial(nn.remat(nn.mlp(8, 32, 8)), nn.tanh)])
def test_a_remat_in_the_part_says_what_to_keep(part):
    assert not any(32 in shape for shape in kept(part, X))
    assert not any(32 in shape for shape in kept(nn.repeat(part, 1), X))


def test_derivatives_are_those_of_a_loop_that_keeps_all():
    with jax.enable_x64(True):
        params, state = nn.repeat(BLOCK, DEPTH).init(jax.random.key(1))
        params, x = jax.tree.map(lambda a: a.astype(jnp.float64), (params, X))
        along = jax.tree.map(lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), (params, x))
        keys = jax.random.split(jax.random.key(2), DEPTH)

        def derivatives(around):
            def loss(params, x):
                def body(x, turn):
                    params, state, key = turn
                    return BLOCK.apply(params, state, x, key=key, train=True)

                return jnp.sum(jnp.square(jax.lax.scan(around(body), x, (params, state, keys))[0]))

            gradient = jax.grad(loss, (0, 1))
            return jax.jvp(loss, (params, x), along), jax.jvp(lambda *at: gradient(*at), (params, x), along)

        got, want = (
            jax.jit(derivatives, static_argnums=0)(f) for f in (lambda f: keeping_costly(f, BLOCK), lambda f: f)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), got, want)
