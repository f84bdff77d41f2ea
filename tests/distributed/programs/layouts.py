"""Layouts on eight devices against one: results, splits that stay, collectives."""

import json

import jax
import jax.numpy as jnp
import numpy as np

from fdl import data, distributed, losses, metrics, nn, optim, train, tree
from fdl.distributed import data_parallel, fsdp, on_mesh, replicate, tensor_parallel

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def farthest(got, want):
    """The largest difference of two trees."""
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    return max(float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max()) for a, b in pairs)


def moved(state, layout):
    """The paths of what does not lie where the layout says."""
    places, leaves = tree.flatten(distributed.shardings(state, layout)), tree.flatten(state)
    return [path for path, leaf in leaves.items() if not leaf.sharding.is_equivalent_to(places[path], leaf.ndim)]


def layouts_of(columns, rows, least):
    eight, four_by_two = distributed.make_mesh(data=8), distributed.make_mesh(data=4, model=2)
    tensor = tensor_parallel(replicate(four_by_two), columns=columns, rows=rows)
    return {
        "replicate": replicate(eight),
        "data_parallel": data_parallel(replicate(eight)),
        "fsdp": fsdp(replicate(eight), least=least),
        "tensor_parallel": tensor,
        "fsdp_tensor_parallel": fsdp(tensor, least=least),
    }


def compare(model_of, loss_of, optimizer, batches, layouts):
    """Three steps of each layout against those of one device."""
    model = model_of(None)
    step, state = train.make_train_step(loss_of(model), optimizer), train.init_state(model.init, optimizer)
    start, log = tree.digest(state), {}
    for k in range(3):
        state, log = step(state, batches(k))
    found, traced = {}, []
    for name, layout in layouts.items():
        loss_fn = loss_of(model_of(layout))

        def watched(*given, loss_fn=loss_fn):
            traced.append(given)
            return loss_fn(*given)

        split_step = train.make_train_step(on_mesh(watched, layout), optimizer)
        split = distributed.init_state(model.init, optimizer, layout)
        same_start, batch_at = tree.digest(split) == start, distributed.split_batches(batches, layout)
        compiled = split_step._one.lower(split, batch_at(0)).compile()
        split, _ = split_step(split, batch_at(0))
        traced.clear()
        split, _ = split_step(split, batch_at(1))
        split, split_log = split_step(split, batch_at(2))
        found[name] = {
            "same_start": same_start,
            "params": farthest(split.params, state.params),
            "loss": float(abs(split_log["loss"] - log["loss"])),
            "moved": moved(split, layout),
            "collectives": distributed.count_collectives(compiled),
            "bytes": compiled.memory_analysis().temp_size_in_bytes,
            "traced_again": len(traced),
        }
    return found


def square_of(model):
    def square(params, state, batch, key):
        y, state = model.apply(params, state, batch["x"], key=key, train=True)
        return jnp.mean((y - batch["y"]) ** 2), (state, {})

    return square


found, draw = {}, np.random.default_rng(0)

rows = {"x": draw.normal(size=(64, 16)).astype(np.float32), "y": draw.normal(size=(64, 16)).astype(np.float32)}
layouts = layouts_of(["dense_0/*"], ["dense_1/kernel"], 100)
batches = data.shuffled(rows, 32, seed=1)
found["mlp"] = compare(lambda layout: nn.mlp(16, 64, 16), square_of, optim.adam(1e-2), batches, layouts)


# A transformer with dropout.  With a large eps Adam does not blow up the rounding of gradients that ought to be zero.
def logits_of(tokens, embed, blocks, norm):
    return norm(blocks(embed(tokens))) @ embed.params["table"].T


def gpt_of(layout):
    block = nn.encoder_block(32, 4, causal=True, rate=0.1)
    late = layout is not None and layout.late
    blocks = nn.repeat(distributed.gathered(block, layout, "blocks") if late else block, 6)
    return nn.wire(logits_of, embed=nn.embedding(48, 32), blocks=blocks, norm=nn.layer_norm(32))


def next_token_of(model):
    def next_token(params, state, batch, key):
        tokens = batch["tokens"]
        logits, state = model.apply(params, state, tokens[:, :-1], key=key, train=True)
        return losses.cross_entropy(logits, tokens[:, 1:]).mean(), (state, {})

    return next_token


texts = {"tokens": draw.integers(0, 48, (40, 9)).astype(np.int32)}
batches, adamw = data.shuffled(texts, 8, seed=3), optim.adamw(1e-2, eps=1e-3)
columns = ["**/query/*", "**/key/*", "**/value/*", "**/mlp/dense_0/*"]
all_gpt = layouts_of(columns, ["**/output/kernel", "**/mlp/dense_1/kernel"], 1000)
some = {name: all_gpt[name] for name in ("fsdp", "fsdp_tensor_parallel")}
some["fsdp_late"] = some["fsdp"]._replace(late="blocks/**")
found["gpt"] = compare(gpt_of, next_token_of, adamw, batches, some)

# The same, drawn inside the loop of train.run; and which rows lie where.
layout, gpt = some["fsdp_tensor_parallel"], gpt_of(None)
next_token = next_token_of(gpt)
step = train.make_train_step(on_mesh(next_token, layout), adamw)
by_hand, batch_at = distributed.init_state(gpt.init, adamw, layout), distributed.split_batches(batches, layout)
for k in range(3):
    by_hand, _ = step(by_hand, batch_at(k))
state, _ = train.run(step, distributed.init_state(gpt.init, adamw, layout), batches, 3)
found["run"] = {
    "params": farthest(state.params, by_hand.params),
    "moved": moved(state, layout),
    "drawn": bool((np.asarray(batch_at(7)["tokens"]) == batches(7)["tokens"]).all()),
    "split": str(batch_at(7)["tokens"].sharding.spec),
}

# What was put there is a copy.
start = train.init_state(gpt.init, adamw)
before = tree.digest(start)
step(distributed.put(start, distributed.shardings(start, layout)), batch_at(0))
found["kept"] = tree.digest(start) == before

# A state of one device goes home with its first step.
found["home"] = moved(step(start, batch_at(0))[0], layout)

# Copies that differ are found, and named.
distributed.require_equal_copies(state)
scale = state.params["norm"]["scale"]
wrong = [jax.device_put(np.asarray(s.data), s.device) for s in scale.addressable_shards]
wrong[5] = wrong[5].at[3].add(1e-6)
state.params["norm"]["scale"] = jax.make_array_from_single_device_arrays(scale.shape, scale.sharding, wrong)
try:
    distributed.require_equal_copies(state)
    found["copies"] = "not found"
except distributed.DisagreementError as error:
    found["copies"] = str(error)

# Batch norm needs nothing: a mean over the batch is one over all devices.
normed, sgd = nn.serial(nn.dense(16, 8), nn.batch_norm(8), nn.relu, nn.dense(8, 4)), optim.sgd(0.1)


def classify(params, state, batch, key):
    logits, state = normed.apply(params, state, batch["x"], key=key, train=True)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


examples = {"x": draw.normal(size=(1003, 16)).astype(np.float32), "label": (np.arange(1003) % 4).astype(np.int32)}
batch, layout = {name: leaf[:32] for name, leaf in examples.items()}, layouts["data_parallel"]
whole, _ = train.make_train_step(classify, sgd)(train.init_state(normed.init, sgd), batch)
step = train.make_train_step(on_mesh(classify, layout), sgd)
parts, _ = step(distributed.init_state(normed.init, sgd, layout), batch)
found["batch_norm"] = {
    "error": max(farthest(parts.params, whole.params), farthest(parts.state, whole.state)),
    "moved": moved(parts, layout),
}


# Evaluation counts every example once, for every number of them and every size of a batch.
def predict(params, state, batch):
    return normed.apply(params, state, batch["x"])[0], batch["label"]


count, count_split = (
    train.make_evaluate(f, {"correct": metrics.correct()}) for f in (predict, on_mesh(predict, layout, strict=False))
)
found["evaluate"] = [
    (count_split(parts, some, batch)["correct"], count(whole, some, 1000)["correct"])
    for size, batch in ((1, 8), (7, 8), (1003, 64), (1003, 250))
    for some in [jax.tree.map(lambda leaf, size=size: leaf[:size], examples)]
]
print(json.dumps(found))
