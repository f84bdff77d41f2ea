"""Additive attention against the equations of its paper, written in torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import DtypeError, ShapeError

RANDOM = np.random.default_rng(0)
X, MEMORY = RANDOM.normal(size=(2, 3, 4)), RANDOM.normal(size=(2, 5, 6))
W, U, V = RANDOM.normal(size=(4, 7)), RANDOM.normal(size=(6, 7)), RANDOM.normal(size=(7, 1))
WHERE = np.array([[True, True, False, True, False], [False, True, True, True, True]])
LAYER = nn.additive_attention(4, 6, 7)


def ours(where):
    def attend(x, memory, w, u, v):
        params = {"query": {"kernel": w}, "key": {"kernel": u}, "score": {"kernel": v}}
        return LAYER.apply(params, {}, x, memory, *where)[0]

    return attend


@pytest.mark.parametrize("where", [(), (WHERE,)], ids=["all", "masked"])
def test_weights_and_contexts_are_those_of_the_paper(agrees, where):
    torch = pytest.importorskip("torch")

    def theirs(x, memory, w, u, v):
        rows = []
        for b in range(2):
            scores = torch.stack([(torch.tanh(s @ w + memory[b] @ u) @ v)[:, 0] for s in x[b]])
            if where:
                scores = scores.masked_fill(~torch.tensor(WHERE[b]), -torch.inf)
            rows.append(torch.softmax(scores, -1))
        weights = torch.stack(rows)
        return torch.einsum("btk,bkd->btd", weights, memory), weights

    kind = ", masked" if where else ""
    agrees.torch(f"nn.additive_attention{kind}", ours(where), theirs, X, MEMORY, W, U, V)


def test_an_example_without_any_place_gives_zeros_and_finite_gradients():
    params, _ = LAYER.init(jax.random.key(0))
    x, memory = jnp.asarray(X, jnp.float32), jnp.asarray(MEMORY, jnp.float32)
    where = jnp.asarray(WHERE).at[0].set(False)

    def total(params):
        context, _ = LAYER.apply(params, {}, x, memory, where)[0]
        return jnp.sum(context[1] ** 2), context[0]

    grads, empty = jax.jit(jax.grad(total, has_aux=True))(params)
    assert (empty == 0).all()
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_bad_inputs_say_so():
    params, _ = LAYER.init(jax.random.key(0))
    apply = lambda *x: LAYER.apply(params, {}, *x)
    with pytest.raises(ShapeError, match=r"memory must have shape \(2, \*, 6\), got \(2, 5, 4\)"):
        apply(jnp.ones((2, 3, 4)), jnp.ones((2, 5, 4)))
    with pytest.raises(ShapeError, match=r"input must have shape \(\*, \*, 4\), got \(2, 4\)"):
        apply(jnp.ones((2, 4)), jnp.ones((2, 5, 6)))
    with pytest.raises(ShapeError, match=r"where must have shape \(2, 5\), got \(2, 3\); one truth value"):
        apply(jnp.ones((2, 3, 4)), jnp.ones((2, 5, 6)), jnp.ones((2, 3), bool))
    with pytest.raises(DtypeError, match="where must be boolean"):
        apply(jnp.ones((2, 3, 4)), jnp.ones((2, 5, 6)), jnp.ones((2, 5)))
