"""Cells of one's own, and cells inside a loop of one's own."""

import jax
import jax.numpy as jnp
import numpy as np

from fdl import nn
from tests.nn.recurrent.by_torch import close, made

X = jax.random.normal(jax.random.key(0), (2, 5, 3))


@nn.cell
def leaky(in_dim: int, dim: int, keep: float) -> nn.Cell:
    """A sum that forgets, h <- keep h + x W + b."""

    def step(params, carry, z):
        h = keep * carry["h"] + z
        return {"h": h}, h

    return nn.make_cell(nn.dense(in_dim, dim), lambda key: {}, step, shape=(in_dim,), carries={"h": dim})


def test_a_cell_of_ones_own_is_unrolled_as_any_other(agrees):
    run = nn.unroll(leaky(3, 4, 0.5))
    assert repr(run) == "unroll(cell=leaky(in_dim=3, dim=4, keep=0.5))"
    params = made(run)
    z = np.asarray(X) @ np.asarray(params["input"]["kernel"]) + np.asarray(params["input"]["bias"])
    powers = np.tril(0.5 ** (np.arange(5.0)[:, None] - np.arange(5.0)))
    want = np.einsum("ts,bsd->btd", powers, z)
    agrees.values("nn.make_cell, leaky sum", "closed form", run.apply(params, {}, X)[0], want)


def test_a_model_may_step_its_cell_in_a_loop_of_its_own():
    def decode(x, *, cell):
        body = lambda carry, now: cell(carry, now)
        _, y = jax.lax.scan(body, cell.part.start((x.shape[0],)), jnp.moveaxis(x, 1, 0))
        return jnp.moveaxis(y, 0, 1)

    model = nn.wire(decode, cell=nn.lstm(3, 4))
    params = made(model)
    close(model.apply(params, {}, X)[0], nn.unroll(nn.lstm(3, 4)).apply(params["cell"], {}, X)[0])
