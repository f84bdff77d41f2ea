"""In fdl."""

import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import trained
from examples.benchmarks.workloads.unet import PLAN
from fdl import losses, nn


def pair(in_dim, dim):
    return nn.serial(conv0=nn.conv(in_dim, dim, 3), relu0=nn.relu, conv1=nn.conv(dim, dim, 3), relu1=nn.relu)


@nn.layer
def up(in_dim, dim):
    """Twice the size, half the channels, what was skipped beside it, and a pair of convolutions."""

    def forward(x, skipped, larger, narrow, pair):
        return pair(jnp.concatenate([skipped, nn.relu(narrow(larger(x)))], -1))

    return nn.wire(forward, larger=nn.upsample(2), narrow=nn.conv(in_dim, dim, 3), pair=pair(in_dim, dim))


def model():
    def forward(x, down0, down1, bottom, up1, up0, head, pool):
        first = down0(x)
        second = down1(pool(first))
        return head(up0(up1(bottom(pool(second)), second), first))

    make = {name: (up if name.startswith("up") else pair)(*plan) for name, plan in PLAN.items()}
    return nn.wire(forward, **make, head=nn.conv(16, 1, 1), pool=nn.max_pool(2))


def build(task):
    net = model()

    def loss_fn(params, state, batch, key):
        logits, state = net.apply(params, state, batch["image"], key=key, train=True)
        return losses.binary_cross_entropy(logits, batch["mask"]).mean(), (state, {})

    return trained(net, loss_fn, task)
