"""What a measurement was taken on."""

import platform
from pathlib import Path


def machine(threads: int) -> dict:
    """Processor, threads used, system."""
    return {"processor": processor(), "threads": threads, "python": platform.python_version(), "system": system()}


def processor() -> str:
    """The name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def system() -> str:
    """Kernel and instruction set."""
    return f"{platform.system()} {platform.machine()}"
