"""Models that several tests of inspection look into."""

import jax
import jax.numpy as jnp

from fdl import nn


def mixed(x, heads, mlp):
    return x + 0.1 * heads[0](x) * heads[1](mlp(mlp(x)))


def block():
    return nn.wire(
        mixed,
        heads=[nn.dense(4, 4), nn.dense(4, 4)],
        mlp=nn.residual(nn.layer_norm(4), nn.dense(4, 4), nn.dropout(0.1)),
    )


def deep():
    """Lists of parts, a part called twice, repetition, recomputation, state and noise."""
    return nn.serial(nn.dense(4, 4), blocks=nn.repeat(nn.remat(block()), 3), norm=nn.batch_norm(4), head=nn.dense(4, 2))


def attention(dim, heads):
    def forward(x, project, join):
        split = lambda a: jnp.moveaxis(a.reshape(*a.shape[:-1], heads, dim // heads), -2, -3)
        query, key, value = map(split, jnp.split(project(x), 3, -1))
        weights = jax.nn.softmax(query @ jnp.swapaxes(key, -1, -2), -1)
        return join(jnp.moveaxis(weights @ value, -3, -2).reshape(x.shape))

    return nn.wire(forward, project=nn.dense(dim, 3 * dim), join=nn.dense(dim, dim))


def gpt(vocab=50257, context=1024, dim=768, depth=12, heads=12):
    """The sizes of GPT-2 small, its output tied to its table."""

    def forward(tokens, embed, place, blocks, norm):
        x = embed(tokens) + jnp.broadcast_to(place()[None, : tokens.shape[1]], (*tokens.shape, dim))
        return norm(blocks(x)) @ embed.params["table"].T

    return nn.wire(
        forward,
        embed=nn.embedding(vocab, dim),
        place=nn.parameter(context, dim),
        blocks=nn.repeat(
            nn.serial(
                attend=nn.residual(norm=nn.layer_norm(dim), attend=attention(dim, heads)),
                mlp=nn.residual(nn.layer_norm(dim), nn.dense(dim, 4 * dim), nn.gelu, nn.dense(4 * dim, dim)),
            ),
            depth,
        ),
        norm=nn.layer_norm(dim),
    )


def alexnet():
    """The two-column network of 2012: groups stand for its two cards."""
    return nn.serial(
        nn.conv(3, 96, 11, stride=4, padding="valid"),
        nn.max_pool(3, stride=2),
        nn.conv(96, 256, 5, groups=2),
        nn.max_pool(3, stride=2),
        nn.conv(256, 384, 3),
        nn.conv(384, 384, 3, groups=2),
        nn.conv(384, 256, 3, groups=2),
        nn.max_pool(3, stride=2),
        nn.flatten,
        nn.dense(9216, 4096),
        nn.dense(4096, 4096),
        nn.dense(4096, 1000),
    )
