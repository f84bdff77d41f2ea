"""No random key is used twice: programs are traced as JAX's own checker of keys wants it, and computed by nobody."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from examples.promises.systems import SYSTEMS, training
from fdl import data
from tests.laws.test_layer_laws import LAYERS, batch_of

SOURCES = sorted((Path(__file__).parent.parent / "fdl").rglob("*.py"))


def traced(program, *args):
    with jax.debug_key_reuse(True):
        return jax.eval_shape(jax.jit(program), *args)


@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
def test_no_layer_uses_a_key_twice(case):
    def program(key):
        own, mask = jax.random.split(key)
        return case.layer.apply(*case.layer.init(own), batch_of(case), key=mask, train=True)

    traced(program, jax.random.key(0))


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_step_uses_a_key_twice(name):
    step, state, batches = training(SYSTEMS[name], 10)
    traced(lambda state: step._loop(state, data.to_device(batches), jnp.int32(3)), state)


def test_the_checker_finds_a_key_that_is_used_twice():
    twice = lambda key: jax.random.normal(key) + jax.random.uniform(key)
    with pytest.raises(jax.errors.KeyReuseError):
        traced(twice, jax.random.key(0))


def test_keys_that_the_checker_cannot_follow_are_not_used():
    for path in SOURCES:
        assert not re.search(r"\bPRNGKey\(", path.read_text()), path
