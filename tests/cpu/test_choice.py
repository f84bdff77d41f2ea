"""Which library products are left to, read off the program."""

import jax
import jax.numpy as jnp
import pytest

from fdl import nn
from fdl.compile import BY_EIGEN, OPTIONS, compiler_options
from fdl.cpu import wide_products_only

X, KERNEL = jnp.ones((128, 200)), jnp.ones((200, 300))
IMAGES, WINDOW = jnp.ones((2, 4, 4, 1)), jnp.ones((3, 3, 1, 2))
PROGRAMS = {
    "wide": (True, lambda x, w: x @ w),
    "wide, with a narrow end": (True, lambda x, w: x @ w @ jnp.ones((300, 10))),
    "wide, in a loop": (True, lambda x, w: jax.lax.map(lambda x: x @ w, x[None])),
    "few rows": (False, lambda x, w: x[:64] @ w),
    "few columns": (False, lambda x, w: x @ w[:, :10]),
    "few terms": (False, lambda x, w: x[:, :50] @ w[:50]),
    "a convolution": (False, lambda x, w: (x @ w, nn.convolve(IMAGES, WINDOW))),
    "a convolution of JAX": (False, lambda x, w: (x @ w, nn.convolve(IMAGES, WINDOW, plain=True))),
    "of several runs": (True, lambda x, w: jax.vmap(jnp.matmul)(jnp.stack([x] * 3), jnp.stack([w] * 3))),
    "heads": (False, lambda x, w: (x @ w, jnp.ones((5, 2, 3, 4)) @ jnp.ones((5, 2, 4, 3)))),
    "no product": (False, lambda x, w: x + w.sum()),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_products_are_left_to_ynn_in_programs_of_wide_ones(name):
    wide, program = PROGRAMS[name]
    assert wide_products_only(jax.make_jaxpr(program)(X, KERNEL)) == wide


def test_the_choice_is_an_option():
    assert compiler_options("cpu") == OPTIONS["cpu"]
    assert BY_EIGEN in OPTIONS["cpu"]
    assert compiler_options("cpu", by_ynn=True) == {k: v for k, v in OPTIONS["cpu"].items() if k != BY_EIGEN}
