"""In torch, with a Dataset and a DataLoader."""

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from examples.benchmarks.frameworks.torch_ import load, optimizer_of
from examples.benchmarks.workloads.epoch import EVALUATED, SHIFT
from examples.benchmarks.workloads.mlp.torch_ import Perceptron


class Shifted(Dataset):
    """Images with a margin, from which each is cut where its shift says."""

    def __init__(self, examples):
        margin = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT))
        self.image = torch.from_numpy(np.pad(examples["image"][..., 0], margin, mode="wrap"))
        self.label = torch.from_numpy(examples["label"]).long()
        self.start = (SHIFT - torch.from_numpy(examples["shift"])).tolist()

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        down, right = self.start[i]
        return self.image[i, down : down + 28, right : right + 28].float() / 255, self.label[i]


def build(task):
    model = load(Perceptron(), task.out_first)
    optimizer = optimizer_of(model, task)
    logits_of = torch.compile(model) if task.compiled else model
    examples = Shifted(task.examples)
    image = torch.from_numpy(task.examples["image"][:EVALUATED])
    given = DataLoader(examples, batch_sampler=task.order.tolist())
    shuffled = DataLoader(examples, batch_size=task.workload.batch, shuffle=True)
    loaders = [given]

    def epoch(loader):
        curve, correct = [], 0
        for x, label in loader:
            optimizer.zero_grad()
            logits = logits_of(x)
            value = F.cross_entropy(logits, label)
            value.backward()
            optimizer.step()
            curve.append(value.item())
            correct += (logits.argmax(-1) == label).sum().item()
        return curve

    @torch.inference_mode()
    def evaluate():
        parts = [logits_of(x.float() / 255).argmax(-1) for x in image.split(1000)]
        return (torch.cat(parts) == examples.label[:EVALUATED]).sum().item()

    def run(epochs):
        for _ in range(epochs):
            curve = epoch(loaders.pop() if loaders else shuffled)
            evaluate()
        return curve[:5]

    return run
