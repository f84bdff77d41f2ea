"""Compiling with options: the same results, inside and outside of transformations, whatever XLA knows."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fdl.compile
from fdl.compile import compile, compiler_options


def square(x):
    """Square it."""
    return x * x


@pytest.fixture
def unknown_option(monkeypatch):
    monkeypatch.setitem(fdl.compile.OPTIONS, jax.default_backend(), {"xla_no_such_option": ""})
    compiler_options.cache_clear()
    yield
    compiler_options.cache_clear()


def test_called_at_the_top():
    run = compile(square)
    np.testing.assert_array_equal(run(jnp.arange(3.0)), [0.0, 1.0, 4.0])
    assert run.__name__ == "square"
    assert run.__doc__ == "Square it."


def test_called_inside_every_transformation():
    run, one = compile(square), jnp.ones(())
    assert jax.jit(lambda x: run(x) + 1)(one) == 2
    assert jax.jit(lambda x: x + run(one))(one) == 2
    assert jax.grad(run)(one) == 2
    assert jax.jit(jax.grad(run))(one) == 2
    assert jax.jvp(run, (one,), (one,))[1] == 2
    assert jax.vmap(run)(jnp.ones(3)).shape == (3,)
    assert jax.lax.scan(lambda c, _: (run(c), None), one, length=2)[0] == 1
    assert jax.eval_shape(run, one).shape == ()
    assert compile(lambda x: run(x) + run(one))(one) == 2


def test_static_arguments_and_donation():
    power = compile(lambda x, n: x**n, static_argnames="n", donate_argnums=0)
    x = jnp.full((4,), 2.0)
    np.testing.assert_array_equal(power(x, n=3), 8.0)
    assert x.is_deleted()


def test_compiles_once_for_one_shape():
    traces = []
    run = compile(lambda x: traces.append(x.shape) or x)
    run(jnp.ones(3)), run(jnp.zeros(3)), run(jnp.ones(4))
    assert traces == [(3,), (4,)]


def test_lower_shows_the_program():
    assert "multiply" in compile(square).lower(jnp.ones(3)).as_text()


def test_an_unknown_option_is_left_out_and_logged_once(unknown_option, caplog):
    with caplog.at_level(logging.WARNING, logger="fdl"):
        assert compile(square)(3.0) == 9.0
        assert compile(lambda x: x + 1)(3.0) == 4.0
    assert [r.name for r in caplog.records] == ["fdl"]
    assert "xla_no_such_option" in caplog.text


def test_other_backends_get_no_options():
    assert compiler_options("some accelerator") is None
