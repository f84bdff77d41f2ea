"""What a measurement was taken on."""

import platform
from pathlib import Path


def machine() -> dict[str, str]:
    """Processor, system, Python."""
    system = f"{platform.system()} {platform.machine()}"
    return {"processor": processor(), "system": system, "python": platform.python_version()}


def processor() -> str:
    """The name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
