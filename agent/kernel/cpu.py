"""What this processor offers: architecture and feature flags, as /proc/cpuinfo has them."""

import os
from pathlib import Path


def architecture() -> str:
    """x86_64, aarch64, ..."""
    return os.uname().machine


def _field(*names: str) -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


def features() -> list[str]:
    """Sorted feature flags of the first processor."""
    return sorted(set(_field("flags", "Features").split()))


def model() -> str:
    """The processor's name for people."""
    return _field("model name", "CPU part") or "unknown"
