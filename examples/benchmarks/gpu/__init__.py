"""fdl against torch.compile on one NVIDIA GPU:  python -m examples.benchmarks.gpu --out FILE.json

Workloads are folders as they are for a CPU, and measured by the same harness: both frameworks start from the same
weights, their losses are compared, then they take turns.
"""

from examples.benchmarks.gpu import gpt, images

WORKLOADS = gpt.WORKLOADS | images.WORKLOADS
