"""Blocks against those of torch, a small Llama written out in torch, and the size of GPT-2."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError
from fdl.tree import count, flatten, unflatten, zeros_like

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
DIM, HEADS, HIDDEN = 4, 2, 5
X, MEMORY = RANDOM.normal(size=(2, 3, DIM)), RANDOM.normal(size=(2, 5, DIM))
VALID = np.array([[True, False, True, True, False], [True, True, True, True, False]])
BIAS = np.cos(np.arange(DIM))  # of the keys: softmax cancels it, so its gradient is but rounding
IN_TORCH = {"attend": "self_attn", "cross": "multihead_attn", "mlp/dense_0": "linear1", "mlp/dense_1": "linear2"}


def weights_of(layer):
    """Random parameters by path; scales near one."""
    shapes = flatten(jax.eval_shape(layer.init, KEY)[0])
    draw = lambda path, leaf: RANDOM.normal(size=leaf.shape) * 0.5 + path.endswith("scale")
    return {path: draw(path, leaf) for path, leaf in shapes.items() if not path.endswith("key/bias")}


def ours(layer, names, inputs=1, masks=()):
    """The layer as a function of its inputs and its parameters."""

    def apply(*arrays):
        x, leaves = arrays[:inputs], dict(zip(names, arrays[inputs:]))
        biases = {path.removesuffix("kernel") + "bias" for path in leaves if path.endswith("key/kernel")}
        biased = any(path.endswith("query/bias") for path in leaves)
        leaves |= {path: jnp.asarray(BIAS, x[0].dtype) for path in biases if biased}
        return layer.apply(unflatten(leaves), {}, *x, *masks)[0]

    return apply


def in_torch(torch, weights, names):
    """The parameters under torch's names."""
    w = dict(zip(names, weights))
    given = {}
    for path, value in w.items():
        place, leaf = path.rsplit("/", 1)
        if place in IN_TORCH or place.startswith("norm"):
            name = {"kernel": "weight", "scale": "weight", "bias": "bias"}[leaf]
            given[f"{IN_TORCH.get(place, place)}.{name}"] = value.T if leaf == "kernel" else value
    for part in ("attend", "cross"):
        if f"{part}/query/kernel" in w:
            own, bias = IN_TORCH[part], torch.tensor(BIAS, dtype=weights[0].dtype)
            given[f"{own}.in_proj_weight"] = torch.cat([w[f"{part}/{name}/kernel"].T for name in QKV])
            given[f"{own}.in_proj_bias"] = torch.cat([w[f"{part}/query/bias"], bias, w[f"{part}/value/bias"]])
            given[f"{own}.out_proj.weight"] = w[f"{part}/output/kernel"].T
            given[f"{own}.out_proj.bias"] = w[f"{part}/output/bias"]
    return given


QKV = ("query", "key", "value")
ORDERS = pytest.mark.parametrize(
    ("norm_first", "dtypes"), [(False, ("float64",)), (True, ("float64", "float32"))], ids=["post-norm", "pre-norm"]
)


@ORDERS
def test_encoder_block_is_torchs(agrees, norm_first, dtypes, request):
    torch = pytest.importorskip("torch")
    block = nn.encoder_block(DIM, HEADS, hidden=HIDDEN, norm_first=norm_first)
    names, valid = weights_of(block), VALID[:, :3]

    def theirs(x, *weights):
        gelu = lambda x: torch.nn.functional.gelu(x, approximate="tanh")
        options = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first, "activation": gelu}
        module = torch.nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN, **options, dtype=x.dtype)
        masks = {"src_key_padding_mask": ~torch.tensor(valid)}
        return torch.func.functional_call(module, in_torch(torch, weights, names), x, masks)

    mine = ours(block, names, masks=(jnp.asarray(valid)[:, None, None],))
    kind = request.node.callspec.id
    agrees.torch(f"nn.encoder_block, {kind}", mine, theirs, X, *names.values(), dtypes=dtypes)


@ORDERS
def test_decoder_block_is_torchs(agrees, norm_first, dtypes, request):
    torch = pytest.importorskip("torch")
    block = nn.decoder_block(DIM, HEADS, hidden=HIDDEN, norm_first=norm_first, activation=nn.relu)
    names = weights_of(block)

    def theirs(x, memory, *weights):
        options = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first}
        module = torch.nn.TransformerDecoderLayer(DIM, HEADS, HIDDEN, **options, dtype=x.dtype)
        masks = {"tgt_mask": torch.tensor(~np.tri(3, dtype=bool)), "memory_key_padding_mask": ~torch.tensor(VALID)}
        return torch.func.functional_call(module, in_torch(torch, weights, names), (x, memory), masks)

    mine = ours(block, names, 2, (None, jnp.asarray(VALID)[:, None, None]))
    kind = request.node.callspec.id
    agrees.torch(f"nn.decoder_block, {kind}", mine, theirs, X, MEMORY, *names.values(), dtypes=dtypes)


def llama(torch, x, w, heads, kv_heads, base=10000.0, eps=1e-5):
    """Two blocks with the parameters w (2, ...), as Llama's code has them: repeated keys and rotate_half."""
    batch, time, dim = x.shape
    size = dim // heads
    norm = lambda x, scale: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * scale
    angles = torch.outer(torch.arange(time).to(x.dtype), 1.0 / base ** (torch.arange(0, size, 2).to(x.dtype) / size))
    cos, sin = (torch.cat([f(angles), f(angles)], -1) for f in (torch.cos, torch.sin))

    def heads_of(x, count):
        return x.view(batch, time, count, size).transpose(1, 2)

    def rotated(x):
        return x * cos + torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1) * sin

    for i in range(2):
        own = {path: value[i] for path, value in w.items()}
        h = norm(x, own["norm1/scale"])
        q = rotated(heads_of(h @ own["attend/query/kernel"], heads))
        k = rotated(heads_of(h @ own["attend/key/kernel"], kv_heads)).repeat_interleave(heads // kv_heads, 1)
        v = heads_of(h @ own["attend/value/kernel"], kv_heads).repeat_interleave(heads // kv_heads, 1)
        h = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + h.transpose(1, 2).reshape(batch, time, dim) @ own["attend/output/kernel"]
        h = norm(x, own["norm2/scale"])
        gate = torch.nn.functional.silu(h @ own["mlp/gate/kernel"])
        x = x + (gate * (h @ own["mlp/up/kernel"])) @ own["mlp/down/kernel"]
    return x


def test_llama_blocks_are_those_of_llama(agrees):
    torch = pytest.importorskip("torch")
    blocks = nn.repeat(nn.llama_block(8, 4, kv_heads=2, hidden=5), 2)
    names, x = weights_of(blocks), RANDOM.normal(size=(2, 5, 8))
    theirs = lambda x, *w: llama(torch, x, dict(zip(names, w)), 4, 2)
    agrees.torch("nn.llama_block", ours(blocks, names), theirs, x, *names.values(), source="Llama written in torch")


def test_gpt_2_has_its_size(agrees):
    def forward(tokens, embed, position, blocks, norm):
        return norm(blocks(position(embed(tokens)))) @ embed.params["table"].T

    gpt = nn.wire(
        forward,
        embed=nn.embedding(50257, 768),
        position=nn.learned_position(1024, 768),
        blocks=nn.repeat(nn.encoder_block(768, 12, causal=True, rate=0.1), 12),
        norm=nn.layer_norm(768),
    )
    params, state = jax.eval_shape(gpt.init, KEY)
    agrees.values("nn.encoder_block, GPT-2", "published size", count(params), 124_439_808, most=0)
    assert jax.eval_shape(gpt.apply, params, state, jnp.zeros((1, 4), int))[0].shape == (1, 4, 50257)


@pytest.mark.parametrize(
    ("block", "causal"),
    [
        (nn.encoder_block(DIM, HEADS), False),
        (nn.encoder_block(DIM, HEADS, causal=True), True),
        (nn.llama_block(DIM, HEADS, hidden=3), True),
    ],
    ids=["encoder", "causal", "llama"],
)
def test_only_encoders_see_the_future(block, causal):
    params, _ = block.init(KEY)
    jacobian = jax.jit(jax.jacobian(lambda x: block.apply(params, {}, x[None])[0][0]))(jnp.asarray(X[0], "f"))
    seen = np.abs(jacobian).max((1, 3)) > 0
    np.testing.assert_array_equal(seen, np.tri(3, dtype=bool) if causal else np.ones((3, 3), bool))


def test_dropout_is_on_what_each_branch_adds():
    block = nn.encoder_block(DIM, HEADS, rate=0.5)
    x = jnp.asarray(X, "f")
    # A branch of ones alone: attention adds 1 to each place, dropped out 0 or 2, and the MLP the same again.
    silent = zeros_like(jax.eval_shape(block.init, KEY)[0])
    silent["attend"]["output"]["bias"] = silent["mlp"]["dense_1"]["bias"] = jnp.ones(DIM)
    y, _ = jax.jit(partial(block.apply, train=True))(silent, {}, x, key=KEY)
    assert set(np.unique(np.round(y - x, 4))) == {0.0, 2.0, 4.0}


def test_a_wrong_width_names_the_place():
    model = nn.serial(block=nn.encoder_block(DIM, HEADS))
    params, state = model.init(KEY)
    with pytest.raises(ShapeError, match=r"must have shape \(\.\.\., 4\), got \(2, 3, 5\)") as error:
        model.apply(params, state, jnp.ones((2, 3, 5)))
    assert error.value.__notes__[0].startswith("in block/norm1: layer_norm(dim=4)")
