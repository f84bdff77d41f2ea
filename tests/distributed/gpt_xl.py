"""GPT-2 XL on 256 devices, as shapes alone: its step, its layout, its state and a batch."""

import jax
import jax.numpy as jnp

from fdl import distributed, losses, nn, optim, train
from fdl.train.state import first_state


def shapes_of(model, optimizer):
    return jax.eval_shape(lambda key: first_state(model.init, optimizer.init, key), jax.random.key(0))


def planned(mesh, rows):
    """(step, layout, state, batch): MLPs by tensors over "model", 25 heads do not divide; all over "data" besides."""
    tensor = distributed.tensor_parallel(
        distributed.replicate(mesh), columns=["**/mlp/dense_0/*"], rows=["**/mlp/dense_1/kernel"]
    )
    layout = distributed.fsdp(tensor, late="blocks/**")
    block = distributed.gathered(nn.encoder_block(1600, 25, causal=True), layout, "blocks")

    def forward(tokens, embed, position, blocks, norm):
        return norm(blocks(position(embed(tokens)))) @ embed.params["table"].T

    model = nn.wire(
        forward,
        embed=nn.embedding(50257, 1600),
        position=nn.learned_position(1024, 1600),
        blocks=nn.repeat(block, 48),
        norm=nn.layer_norm(1600),
    )

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["tokens"], key=key, train=True)
        return losses.cross_entropy(logits, batch["next"]).mean(), (state, {})

    optimizer = optim.adamw(1e-4)
    step = train.make_train_step(distributed.on_mesh(loss_fn, layout), optimizer)
    tokens = jax.ShapeDtypeStruct((rows, 1024), jnp.int32)
    return step, layout, shapes_of(model, optimizer), {"tokens": tokens, "next": tokens}
