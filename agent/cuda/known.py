"""What is known of GPUs and drivers without asking either: from /proc, and from trouble had."""

import re
from pathlib import Path
from typing import Final

from agent.cuda.errors import DriverKnownBadError, DriverTooOldError

_VERSION = Path("/proc/driver/nvidia/version")
_OLDEST: Final = (570,)
"""The first with this API; https://docs.nvidia.com/cuda/cuda-driver-api (CUDA 12.8)."""

_BAD: Final = {
    (595, 71, 5): "killing a restored process hangs it",
}


def driver_version() -> str:
    """Of the kernel module that runs; empty where there is none."""
    try:
        text = _VERSION.read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d[\d.]*)", text)
    return found[1] if found else ""


def refuse_driver(version: str) -> None:
    """Raise for a driver that no process should be checkpointed on."""
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers < _OLDEST:
        raise DriverTooOldError(f"driver {version} knows no checkpoints", hint="570 or newer does")
    if numbers in _BAD:
        raise DriverKnownBadError(f"driver {version}: {_BAD[numbers]}", hint="Use another version")


def may_use_cuda(pid: int) -> bool:
    """Whether libcuda is loaded in `pid`: cheap, and true of every process with a context."""
    try:
        with Path(f"/proc/{pid}/maps").open(errors="replace") as maps:
            return any("libcuda.so" in line for line in maps)
    except OSError:
        return False


def maps_a_gpu(pid: int) -> bool:
    """Whether `pid` has a GPU's device mapped, which CRIU cannot dump."""
    try:
        with Path(f"/proc/{pid}/maps").open(errors="replace") as maps:
            return any(" /dev/nvidia" in line for line in maps)
    except OSError:
        return False
