"""What can be said of the fused kernels without their device: what they take, and what is said of the rest."""

import jax
import jax.numpy as jnp
import pytest

from fdl.nn import dot_product_attention

X = jnp.ones((1, 4, 2, 8), jnp.bfloat16)
BAD = {
    "float32: cast to bfloat16": ((X.astype("float32"),) * 3, {}),
    "values of another width": ((X, X, X[..., :4]), {}),
    "segments: give where": ((X, X, X), {"segments": jnp.ones((1, 4), int)}),
    "slopes": ((X, X, X), {"slopes": jnp.ones(2)}),
    "softcap": ((X, X, X), {"softcap": 1.0}),
    "scale that is not a plain number": ((X, X, X), {"scale": jnp.ones(())}),
    "causal attention from an offset": ((X[:, :1], X, X), {"causal": True, "offset": 3}),
    "window without causal": ((X, X, X), {"window": 2}),
    "window where time differs": ((X[:, :2], X, X), {"window": 2, "causal": True}),
    "no queries or no keys": ((X, X[:, :0], X[:, :0]), {}),
}


@pytest.mark.parametrize("match", BAD)
def test_what_the_kernels_cannot_do_is_said(match):
    x, options = BAD[match]
    with pytest.raises(ValueError, match=f"implementation='fused' cannot do .*{match}"):
        dot_product_attention(*x, **options, implementation="fused")


def _on_nvidia():
    return jax.default_backend() == "gpu"


@pytest.mark.skipif(_on_nvidia(), reason="there are kernels here")
def test_without_the_kernels_asking_for_them_fails_loudly():
    with pytest.raises(Exception, match=r"(?i)cudnn|cuda|dot_product_attention"):
        jax.jit(lambda x: dot_product_attention(x, x, x, causal=True, implementation="fused"))(X)


@pytest.mark.skipif(not _on_nvidia(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"causal": True, "window": 3},
        {"scale": 0.5},
        {"where": jnp.tril(jnp.ones((1, 1, 64, 64), bool), -1)},
        {"where": jnp.tril(jnp.ones((1, 1, 64, 64), bool), -1), "causal": True, "window": 3},
        {"bias": jnp.linspace(0, 1, 64 * 64).reshape(1, 1, 64, 64)},
    ],
    ids=lambda options: "-".join(options) or "bare",
)
def test_fused_is_plain(agrees, options):
    q, k, v = (jax.random.normal(jax.random.key(i), (2, 64, 4 if i == 0 else 2, 16), jnp.bfloat16) for i in range(3))

    def both(implementation):
        attend = lambda *x: dot_product_attention(*x, **options, implementation=implementation).astype(jnp.float32)
        return attend(q, k, v), jax.grad(lambda *x: jnp.sum(jnp.sin(attend(*x))), (0, 1, 2))(q, k, v)

    got, want = jax.tree.map(lambda x: x.astype(jnp.float32), (both("fused"), both("plain")))
    agrees.values("nn.dot_product_attention, fused", "plain", got, want, most=3e-2)
