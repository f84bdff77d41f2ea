"""In torch."""

from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained
from examples.benchmarks.workloads.vae import CODE, HIDDEN, PIXELS


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(PIXELS, HIDDEN)
        self.mean = nn.Linear(HIDDEN, CODE)
        self.log_var = nn.Linear(HIDDEN, CODE)
        self.decode = nn.Linear(CODE, HIDDEN)
        self.out = nn.Linear(HIDDEN, PIXELS)

    def forward(self, x, noise):
        h = self.encode(x).relu()
        mean, log_var = self.mean(h), self.log_var(h)
        code = mean + (log_var / 2).exp() * noise
        return self.out(self.decode(code).relu()), mean, log_var


def loss(model, batch):
    logits, mean, log_var = model(batch["image"], batch["noise"])
    reconstruction = F.binary_cross_entropy_with_logits(logits, batch["image"], reduction="sum")
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum()
    return (reconstruction + kl) / len(mean)


def build(task):
    return trained(VAE(), loss, task)
