"""One array in two places: its gradient is the sum over both, in tie and by hand in a wire."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError, TreeError

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
TABLE, KERNEL, TOKENS = RNG.normal(size=(7, 4)), RNG.normal(size=(4, 4)), RNG.integers(0, 7, (3, 5))


def by_hand():
    def forward(tokens, embed, body):
        return body(embed(tokens)) @ embed.params["table"].T

    return nn.wire(forward, embed=nn.embedding(7, 4), body=nn.dense(4, 4, use_bias=False))


def by_path():
    model = nn.serial(
        embed=nn.embedding(7, 4), body=nn.dense(4, 4, use_bias=False), head=nn.dense(4, 7, use_bias=False)
    )
    return nn.tie(model, {"head/kernel": "embed/table"}, transpose=True)


@pytest.mark.parametrize("make", [by_hand, by_path])
def test_the_gradient_of_a_tied_table_is_the_sum_of_both_uses(make, agrees):
    torch = pytest.importorskip("torch")
    model = make()

    def ours(table, kernel, tokens):
        return model.apply({"embed": {"table": table}, "body": {"kernel": kernel}}, {}, tokens)[0]

    def theirs(table, kernel, tokens):
        return torch.nn.functional.embedding(tokens, table) @ kernel @ table.T

    agrees.torch("nn.tie, transposed" if make is by_path else "nn.wire, tied", ours, theirs, TABLE, KERNEL, TOKENS)
    params, _ = model.init(KEY)
    assert jax.tree.map(jnp.shape, params) == {"embed": {"table": (7, 4)}, "body": {"kernel": (4, 4)}}


def test_layers_share_a_kernel(agrees):
    torch = pytest.importorskip("torch")
    model = nn.tie(
        nn.serial(nn.dense(4, 4, use_bias=False), nn.tanh, nn.dense(4, 4, use_bias=False)),
        {"dense_1/kernel": "dense_0/kernel"},
    )
    x = RNG.normal(size=(3, 4))
    ours = lambda kernel, x: model.apply({"dense_0": {"kernel": kernel}}, {}, x)[0]
    agrees.torch("nn.tie", ours, lambda kernel, x: torch.tanh(x @ kernel) @ kernel, KERNEL, x)


def test_what_cannot_be_tied_is_refused():
    model = nn.serial(nn.dense(4, 3), nn.dense(3, 4))
    with pytest.raises(ShapeError, match=r"'dense_1/kernel' must have shape \(4, 3\) .* got \(3, 4\)"):
        nn.tie(model, {"dense_1/kernel": "dense_0/kernel"})
    with pytest.raises(ShapeError, match=r"must have shape \(3,\)"):
        nn.tie(model, {"dense_1/bias": "dense_0/bias"}, transpose=True)
    with pytest.raises(TreeError, match="'tail/kernel' matches nothing"):
        nn.tie(model, {"dense_1/kernel": "tail/kernel"})
