"""What is written for one device of many, in jax.shard_map, against one device: values and gradients."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as Spec

from fdl import distributed, losses, nn

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
draw = np.random.default_rng(0).normal


def farthest(got, want):
    """The largest difference over the largest magnitude of the wanted values."""
    pairs = list(zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True))
    worst = [np.abs(np.asarray(a) - np.asarray(b)).max() / max(np.abs(np.asarray(b)).max(), 1e-30) for a, b in pairs]
    return float(max(worst))


def array(*shape):
    return jnp.asarray(draw(size=shape), jnp.float32)


def errors(ours, theirs, *arrays):
    """How far two functions are apart, and their gradients by all arrays under a cotangent without symmetry."""

    def with_slopes(f):
        def loss(*arrays):
            y = f(*arrays)
            return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)), y

        (_, y), slopes = jax.jit(jax.value_and_grad(loss, tuple(range(len(arrays))), has_aux=True))(*arrays)
        return y, slopes

    (y, slopes), (want, wanted) = with_slopes(ours), with_slopes(theirs)
    return {"values": farthest(y, want), "slopes": farthest(slopes, wanted)}


found = {}
mesh = distributed.make_mesh(data=2, sequence=4)
query, key, value = array(2, 32, 4, 8), array(2, 32, 2, 8), array(2, 32, 2, 6)
spread = Spec("data", "sequence")
cases = {"whole": {}, "causal": {"causal": True}, "window": {"causal": True, "window": 9}, "both_ways": {"window": 5}}
for name, how in cases.items():
    ring = partial(distributed.ring_attention, axis="sequence", **how)
    ours = jax.shard_map(ring, mesh=mesh, in_specs=spread, out_specs=spread)
    found[f"ring_{name}"] = errors(ours, partial(nn.dot_product_attention, **how), query, key, value)

ring = jax.shard_map(
    partial(distributed.ring_attention, axis="sequence", causal=True), mesh=mesh, in_specs=spread, out_specs=spread
)
place = jax.NamedSharding(mesh, spread)
halves = [jax.device_put(x.astype(jnp.bfloat16), place) for x in (query, key, value)]
near = nn.dot_product_attention(*(x.astype(jnp.float32) for x in halves), causal=True)
found["ring_bfloat16"] = {"values": farthest(ring(*halves).astype(jnp.float32), near)}
compiled = jax.jit(ring).lower(*(jax.device_put(x, place) for x in (query, key, value))).compile()
slopes = jax.jit(jax.grad(lambda *x: jnp.sum(ring(*x)), (0, 1, 2)))
back = slopes.lower(*(jax.device_put(x, place) for x in (query, key, value))).compile()
counts = {"ring": distributed.count_collectives(compiled), "ring_slopes": distributed.count_collectives(back)}


# A model whose sequence is split: each device applies it to its own part of the text, and the ring joins the parts.
def ring_block(dim, heads, attend):
    def forward(x, norm, query, key, value, output, mlp):
        h = norm(x)
        split = [project(h).reshape(*x.shape[:2], heads, -1) for project in (query, key, value)]
        x = x + output(attend(*split).reshape(x.shape))
        return x + mlp(x)

    maps = {name: nn.dense(dim, dim, use_bias=False) for name in ("query", "key", "value", "output")}
    return nn.wire(forward, norm=nn.layer_norm(dim), **maps, mlp=nn.mlp(dim, 32, dim))


def gpt(attend):
    def forward(tokens, places, embed, position, blocks, head):
        return head(blocks(position(embed(tokens), places)))

    blocks = nn.repeat(ring_block(8, 2, attend), 2)
    return nn.wire(
        forward, embed=nn.embedding(16, 8), position=nn.learned_position(32, 8), blocks=blocks, head=nn.dense(8, 16)
    )


def loss_of(model):
    def loss(params, tokens, after, places):
        return losses.cross_entropy(model.apply(params, {}, tokens, places, train=True)[0], after).mean()

    return loss


whole = gpt(partial(nn.dot_product_attention, causal=True))
parted = gpt(partial(distributed.ring_attention, axis="sequence", causal=True))


@partial(jax.shard_map, mesh=mesh, in_specs=(Spec(), spread, spread, spread), out_specs=Spec())
def ring_loss(params, *text):
    params = jax.lax.pcast(params, ("data", "sequence"), to="varying")  # so that slopes are summed once, at the end
    return jax.lax.pmean(loss_of(parted)(params, *text), ("data", "sequence"))


letters = jnp.asarray(np.random.default_rng(1).integers(0, 16, (4, 33)), jnp.int32)
text = letters[:, :-1], letters[:, 1:], jnp.broadcast_to(jnp.arange(32, dtype=jnp.int32), (4, 32))
params, _ = whole.init(jax.random.key(2))
slopes = jax.jit(jax.value_and_grad(ring_loss))
given = jax.device_put(params, jax.NamedSharding(mesh, Spec())), *(jax.device_put(x, place) for x in text)
value, slope = slopes(*given)
want, wanted = jax.jit(jax.value_and_grad(loss_of(whole)))(params, *text)
found["sequence"] = {"values": farthest(value, want), "slopes": farthest(slope, wanted)}
counts["sequence"] = distributed.count_collectives(slopes.lower(*given).compile())

# A pipeline: the repetitions of a stacked block on four devices, eight microbatches, each split over two more.
stages = distributed.make_mesh(data=2, stage=4)
block, depth = nn.residual(nn.layer_norm(8), nn.dense(8, 8), nn.tanh), 8
deep = nn.repeat(block, depth)
params, _ = deep.init(jax.random.key(0))
x = array(8, 4, 8)


def stage(params, h):
    return jax.lax.scan(lambda h, own: (block.apply(own, {}, h)[0], None), h, params)[0]


def piped(params, x):
    run = lambda params, x: distributed.pipeline(partial(stage, params), x, axis="stage")
    rows = Spec(None, "data")
    return jax.shard_map(run, mesh=stages, in_specs=(Spec("stage"), rows), out_specs=rows)(params, x)


found["pipeline"] = errors(piped, lambda params, x: deep.apply(params, {}, x)[0], params, x)
given = (
    jax.device_put(params, jax.NamedSharding(stages, Spec("stage"))),
    jax.device_put(x, jax.NamedSharding(stages, Spec(None, "data"))),
)
counts["pipeline"] = distributed.count_collectives(jax.jit(piped).lower(*given).compile())

# Experts: eight on eight devices, tokens split over the same; where none is turned away both are the same function.
experts = distributed.make_mesh(expert=8)
mixture = nn.mixture_of_experts(8, nn.gated_mlp(8, 16), 8, top=2, capacity=4.0)
spread_out = nn.rewire(mixture, "experts", lambda layer: distributed.expert_parallel(layer, "expert"))
params, state = mixture.init(jax.random.key(1))
tokens = array(64, 8)
where = {"router": Spec(), "experts": Spec("expert")}
for train in (False, True):

    def here(params, x, train=train):
        return mixture.apply(params, state, x, train=train)[0]

    def there(params, x, train=train):
        run = lambda params, x: spread_out.apply(params, state, x, train=train)[0]
        return jax.shard_map(run, mesh=experts, in_specs=(where, Spec("expert")), out_specs=Spec("expert"))(params, x)

    found["experts_training" if train else "experts"] = errors(there, here, params, tokens)
given = {name: jax.device_put(part, jax.NamedSharding(experts, where[name])) for name, part in params.items()}
compiled = jax.jit(there).lower(given, jax.device_put(tokens, jax.NamedSharding(experts, Spec("expert")))).compile()
counts["experts"] = distributed.count_collectives(compiled)

print(json.dumps({"errors": found, "collectives": counts}))
