"""In fdl."""

from examples.benchmarks.frameworks.fdl_ import classifier
from examples.benchmarks.workloads.separable import PLAN
from fdl import nn

ONE = [(1, 1), (1, 1)]


def block(in_dim, dim, stride):
    return nn.serial(
        depthwise=nn.depthwise_conv(in_dim, 3, stride=stride, padding=ONE, use_bias=False),
        norm0=nn.batch_norm(in_dim),
        relu0=nn.relu,
        pointwise=nn.conv(in_dim, dim, 1, use_bias=False),
        norm1=nn.batch_norm(dim),
        relu1=nn.relu,
    )


def model():
    def forward(x, stem, norm, blocks, head):
        x = nn.relu(norm(stem(x)))
        for part in blocks:
            x = part(x)
        return head(nn.global_average_pool(x))

    stem = nn.conv(3, 32, 3, padding=ONE, use_bias=False)
    blocks = [block(*plan) for plan in PLAN]
    return nn.wire(forward, stem=stem, norm=nn.batch_norm(32), blocks=blocks, head=nn.dense(256, 10))


def build(task):
    return classifier(model(), task)
