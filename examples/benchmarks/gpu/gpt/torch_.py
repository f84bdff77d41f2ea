"""In torch, of the blocks of the small GPT measured on a CPU; the table of tokens is the head."""

from torch import nn
from torch.nn import functional as F

from examples.benchmarks.gpu.torch_ import trained
from examples.benchmarks.workloads.chargpt.torch_ import Block, arrays_of, loss


class GPT(nn.Module):
    def __init__(self, vocab, context, dim, depth, heads):
        super().__init__()
        self.embed, self.position = nn.Embedding(vocab, dim), nn.Embedding(context, dim)
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens):
        x = self.embed(tokens) + self.position.weight[: tokens.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.embed.weight)


def build(task):
    return trained(GPT(**task.workload.sizes), loss, task, arrays_of(task, task.workload.sizes["depth"]))
