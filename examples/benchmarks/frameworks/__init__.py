"""How users of each framework train: one file a framework, used by all workloads.

Each has `PACKAGES`, whose versions are recorded, and makes a program of a model, a loss and a task.
"""
