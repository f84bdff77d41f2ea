"""What bounds each workload on this machine: arithmetic, memory, the shapes of its products, or the rest."""
