"""No random key is used twice: programs are traced as JAX's own checker of keys wants it, and computed by nobody."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from examples.promises.systems import SYSTEMS, training
from fdl import data, models
from tests.laws.test_layer_laws import LAYERS, batch_of
from tests.laws.test_transform_laws import CASES, fresh
from tests.laws.test_transform_laws import step as step_of

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


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_optimizer_uses_a_key_twice(case):
    def program(params):
        state = case.optimizer.init(params)
        for _ in range(2):
            params, state = step_of(case.optimizer, params, state)

    traced(program, fresh())


def test_no_chain_of_samples_uses_a_key_twice():
    rbm, v = models.RBM(5, 3), jnp.ones((4, 5))

    def program(key):
        own, one, other, chains = jax.random.split(key, 4)
        params, _ = rbm.init(own)
        models.contrastive_divergence(rbm, 2, sampled=True)(params, {}, v, one)
        params, state = models.init_with_chains(rbm, 4)(chains)
        models.persistent_contrastive_divergence(rbm, 2)(params, state, v, other)

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
