"""In fdl."""

import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import classifier
from examples.benchmarks.workloads.resnet import PLAN
from fdl import nn


def conv(in_dim, dim, stride=1):
    return nn.conv(in_dim, dim, 3, stride=stride, padding=[(1, 1), (1, 1)], use_bias=False)


@nn.layer
def block(in_dim, dim, stride):
    """Two convolutions and a shortcut that drops pixels and adds empty channels."""

    def forward(x, conv0, norm0, conv1, norm1):
        h = norm1(conv1(nn.relu(norm0(conv0(x)))))
        extra = (dim - in_dim) // 2
        return nn.relu(h + jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (extra, extra))))

    return nn.wire(
        forward,
        conv0=conv(in_dim, dim, stride),
        norm0=nn.batch_norm(dim),
        conv1=conv(dim, dim),
        norm1=nn.batch_norm(dim),
    )


def model():
    def forward(x, stem, norm, blocks, head):
        x = nn.relu(norm(stem(x)))
        for part in blocks:
            x = part(x)
        return head(nn.global_average_pool(x))

    blocks = [block(*plan) for plan in PLAN]
    return nn.wire(forward, stem=conv(3, 16), norm=nn.batch_norm(16), blocks=blocks, head=nn.dense(64, 10))


def build(task):
    return classifier(model(), task)
