"""In torch: the two statistics, as gradients of an optimizer."""

import torch
from torch import nn

from examples.benchmarks.frameworks.torch_ import optimizer_of, ready
from examples.benchmarks.workloads.rbm import HIDDEN, VISIBLE


class RBM(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(VISIBLE, HIDDEN))
        self.hidden = nn.Parameter(torch.zeros(HIDDEN))
        self.visible = nn.Parameter(torch.zeros(VISIBLE))


def statistics(model, v, noise):
    """The gradients of kernel, hidden and visible, and the reconstruction error."""
    positive = torch.addmm(model.hidden, v, model.kernel).sigmoid()
    again = torch.addmm(model.visible, (noise < positive).float(), model.kernel.T).sigmoid()
    negative = torch.addmm(model.hidden, again, model.kernel).sigmoid()
    kernel = (again.T @ negative - v.T @ positive) / len(v)
    return (kernel, (negative - positive).mean(0), (again - v).mean(0)), (v - again).square().mean()


def build(task):
    model, batches = ready(RBM(), task, task.weights)
    optimizer = optimizer_of(model, task)
    gradients = torch.compile(statistics) if task.compiled else statistics

    @torch.no_grad()
    def run(steps):
        curve = []
        for _ in range(steps):
            batch = next(batches)
            grads, error = gradients(model, batch["image"], batch["noise"])
            model.kernel.grad, model.hidden.grad, model.visible.grad = grads
            optimizer.step()
            curve.append(error.item())
        return curve

    return run
