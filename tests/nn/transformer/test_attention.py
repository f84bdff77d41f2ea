"""Multi-head attention against torch's, and its variants against their equations, head by head in torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import DtypeError, ShapeError
from fdl.tree import count, flatten, unflatten

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
DIM, HEADS = 6, 2
X, MEMORY = RANDOM.normal(size=(2, 5, DIM)), RANDOM.normal(size=(2, 4, 3))
VALID = np.array([[True, True, True, False, False], [True, True, True, True, False]])


def weights_of(layer):
    """Random parameters by path, but for the bias of keys: softmax cancels it, and with it its gradient."""
    shapes = flatten(jax.eval_shape(layer.init, KEY)[0])
    return {path: RANDOM.normal(size=leaf.shape) for path, leaf in shapes.items() if path != "key/bias"}


def key_bias(size):
    return np.cos(np.arange(size))


def ours(layer, names, *masks):
    """The layer as a function of x, a memory if it has one, and its parameters."""

    def apply(x, *arrays):
        memory, values = arrays[: len(arrays) - len(names)], arrays[len(arrays) - len(names) :]
        params = unflatten(dict(zip(names, values)))
        if "bias" in params["query"]:
            params["key"]["bias"] = jnp.asarray(key_bias(params["key"]["kernel"].shape[1]), x.dtype)
        return layer.apply(params, {}, x, *memory, *masks)[0]

    return apply


def torch_mha(torch, weights, query, memory, names, **masks):
    w = dict(zip(names, weights)) | {"key/bias": torch.tensor(key_bias(DIM), dtype=query.dtype)}
    dim, source = query.shape[-1], memory.shape[-1]
    module = torch.nn.MultiheadAttention(dim, HEADS, kdim=source, vdim=source, batch_first=True, dtype=query.dtype)
    kernels = [w[f"{name}/kernel"].T for name in ("query", "key", "value")]
    each = dict(zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), kernels))
    given = {"in_proj_weight": torch.cat(kernels)} if source == dim else each
    given["in_proj_bias"] = torch.cat([w[f"{name}/bias"] for name in ("query", "key", "value")])
    given |= {"out_proj.weight": w["output/kernel"].T, "out_proj.bias": w["output/bias"]}
    masks = {name: torch.tensor(mask) for name, mask in masks.items()}
    return torch.func.functional_call(module, given, (query, memory, memory), {"need_weights": False, **masks})[0]


def test_self_attention_with_padding_is_torchs(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.attention(DIM, HEADS)
    names = weights_of(layer)
    theirs = lambda x, *w: torch_mha(torch, w, x, x, names, key_padding_mask=~VALID)
    mine = ours(layer, names, jnp.asarray(VALID)[:, None, None])
    agrees.torch("nn.attention, padded", mine, theirs, X, *names.values())


def test_causal_attention_is_torchs(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.attention(DIM, HEADS, causal=True)
    names = weights_of(layer)
    future = ~np.tri(5, dtype=bool)
    theirs = lambda x, *w: torch_mha(torch, w, x, x, names, attn_mask=future)
    agrees.torch("nn.attention, causal", ours(layer, names), theirs, X, *names.values(), dtypes=("float64",))


def test_cross_attention_is_torchs(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.attention(DIM, HEADS, memory_dim=3)
    names = weights_of(layer)
    valid = np.array([[True, False, True, True], [True, True, True, False]])
    theirs = lambda x, memory, *w: torch_mha(torch, w, x, memory, names, key_padding_mask=~valid)
    mine = ours(layer, names, jnp.asarray(valid)[:, None, None])
    agrees.torch("nn.attention, cross", mine, theirs, X, MEMORY, *names.values())


def by_heads(torch, x, w, heads, kv_heads, head_dim, *, base=None, norm=False, window=None, slopes=None, cap=None):
    """Causal attention of each head by itself, straight from the equations."""

    def project(name, h):
        cut = slice(h * head_dim, (h + 1) * head_dim)
        y = x @ w[f"{name}/kernel"][:, cut]
        if "query/bias" in w:
            bias = w[f"{name}/bias"] if name != "key" else torch.tensor(key_bias(kv_heads * head_dim), dtype=x.dtype)
            y = y + bias[cut]
        if norm and name != "value":
            y = y / torch.sqrt((y**2).mean(-1, keepdim=True) + 1e-6) * w[f"{name}_norm/scale"]
        if base and name != "value":
            half = head_dim // 2
            angle = torch.arange(x.shape[1])[:, None] * base ** (-torch.arange(half).to(x.dtype) * 2 / head_dim)
            z = torch.polar(torch.ones_like(angle), angle) * torch.complex(y[..., :half], y[..., half:])
            y = torch.cat([z.real, z.imag], -1)
        return y

    distance = torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])[None]
    unseen = (distance < 0) | (distance >= (window or x.shape[1]))
    found = []
    for h in range(heads):
        shared = h // (heads // kv_heads)
        logits = project("query", h) @ project("key", shared).transpose(1, 2) / head_dim**0.5
        logits = cap * torch.tanh(logits / cap) if cap else logits
        logits = logits - slopes[h] * distance if slopes else logits
        found.append(torch.softmax(logits.masked_fill(unseen, -torch.inf), -1) @ project("value", shared))
    return torch.cat(found, -1) @ w["output/kernel"] + w.get("output/bias", 0)


@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ({"kv_heads": 2, "rotary": 100.0, "use_bias": False}, {"base": 100.0}),
        ({"kv_heads": 1, "head_dim": 6, "qk_norm": True, "rotary": 10.0}, {"norm": True, "base": 10.0}),
        ({"alibi": True, "window": 3}, {"slopes": [0.25, 0.0625, 0.015625, 0.00390625], "window": 3}),
        ({"softcap": 2.0, "kv_heads": 2}, {"cap": 2.0}),
    ],
    ids=["grouped rotary", "multi-query normed", "alibi window", "softcap"],
)
def test_variants_are_their_equations(agrees, request, options, theirs):
    torch = pytest.importorskip("torch")
    layer = nn.attention(8, 4, causal=True, **options)
    names = weights_of(layer)
    sizes = 4, options.get("kv_heads", 4), options.get("head_dim", 2)
    reference = lambda x, *w: by_heads(torch, x, dict(zip(names, w)), *sizes, **theirs)
    x = RANDOM.normal(size=(2, 5, 8))
    subject = f"nn.attention, {request.node.callspec.id}"
    agrees.torch(subject, ours(layer, names), reference, x, *names.values(), dtypes=("float64",), source="equations")


def test_each_place_sees_its_window_of_the_past_and_nothing_else():
    layer = nn.attention(4, 2, causal=True, window=2, qk_norm=True)
    params, _ = jax.jit(layer.init)(KEY)
    y = lambda x: layer.apply(params, {}, x[None])[0][0]
    jacobian = jax.jit(jax.jacobian(y))(jax.random.normal(KEY, (5, 4)))
    reached = np.abs(jacobian).max((1, 3)) > 0
    np.testing.assert_array_equal(reached, np.tri(5, k=0, dtype=bool) & ~np.tri(5, k=-2, dtype=bool))


def test_packed_sequences_are_as_if_alone():
    layer = nn.attention(4, 2, causal=True, rotary=10.0)
    params, _ = jax.jit(layer.init)(KEY)
    x = jax.random.normal(KEY, (1, 5, 4))
    call = jax.jit(layer.apply)
    packed, _ = call(params, {}, x, None, jnp.array([[0, 0, 1, 1, 1]]))
    alone = [call(params, {}, part)[0] for part in (x[:, :2], x[:, 2:])]
    np.testing.assert_allclose(packed, jnp.concatenate(alone, 1), atol=1e-6)


def test_blocks_of_keys_give_the_same():
    layer = nn.attention(4, 2, causal=True, alibi=True)
    params, _ = jax.jit(layer.init)(KEY)
    x = jax.random.normal(KEY, (1, 6, 4))
    whole, _ = jax.jit(layer.apply)(params, {}, x)
    chunked, _ = jax.jit(layer.replace(chunk=2, implementation="chunked").apply)(params, {}, x)
    np.testing.assert_allclose(chunked, whole, atol=1e-6)


def test_shared_heads_have_fewer_parameters():
    sizes = {kv: count(jax.eval_shape(nn.attention(8, 4, kv_heads=kv).init, KEY)[0]) for kv in (4, 2, 1)}
    assert sizes == {4: 4 * 72, 2: 2 * 72 + 2 * 36, 1: 2 * 72 + 2 * 18}


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((7, 2), {}, "heads must divide dim, or head_dim be given, got 2 for 7"),
        ((8, 4), {"kv_heads": 3}, "kv_heads must divide heads, got 3 for 4"),
        ((6, 2), {"rotary": 10.0}, "rotary turns pairs of channels: 2 must divide head_dim, got 2 for 3"),
        ((4, 2), {"memory_dim": 3, "causal": True}, "a memory has none"),
        ((4, 0), {}, "heads must divide dim"),
    ],
    ids=["heads", "kv_heads", "rotary", "memory", "no heads"],
)
def test_sizes_that_do_not_fit_are_refused(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        nn.attention(*sizes, **options)


def test_inputs_that_do_not_fit_name_the_place():
    model = nn.serial(attend=nn.attention(4, 2))
    params, state = model.init(KEY)
    x = jnp.ones((2, 3, 4))
    with pytest.raises(ShapeError, match=r"must have shape \(\*, \*, 4\), got \(3, 4\); did you forget the batch") as e:
        model.apply(params, state, x[0])
    assert e.value.__notes__[0].startswith("in attend: attention(dim=4, heads=2) on float32[3,4]")
    layer = nn.attention(4, 2, memory_dim=5)
    with pytest.raises(ShapeError, match=r"memory must have shape \(2, \*, 5\), got \(2, 3, 4\)"):
        layer.apply(layer.init(KEY)[0], {}, x, x)
    with pytest.raises(ShapeError, match="where"):
        model.part("attend").apply(params["attend"], {}, x, jnp.ones((2, 1, 3, 4), bool))
    with pytest.raises(DtypeError, match="where must be boolean"):
        model.part("attend").apply(params["attend"], {}, x, jnp.ones((2, 1, 3, 3)))
