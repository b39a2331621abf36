"""CUDA's checkpoint API, in the driver's own words.

https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__CHECKPOINT.html. PIDs are the host's.
Every call raises a ChrekError: see agent.cuda.errors.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NewType, Protocol

from chrek.ids import HostPID

GPU_UUID = NewType("GPU_UUID", str)
"""`GPU-` and 8-4-4-4-12 hex digits, as NVML and nvidia-smi write it."""


class State(Enum):
    """What a CUDA process is to the driver (CUprocessState)."""

    RUNNING = "running"
    LOCKED = "locked"
    CHECKPOINTED = "checkpointed"
    FAILED = "failed"


class Driver(Protocol):
    """The calls that a checkpoint takes."""

    async def state(self, pid: HostPID) -> State:
        """What `pid` is now."""

    async def restore_thread(self, pid: HostPID) -> int | None:
        """The thread that works for the driver in `pid`; None: it has no CUDA context."""

    async def lock(self, pid: HostPID, timeout_ms: int) -> None:
        """Let the GPU finish what it was given, and hold further calls. RUNNING -> LOCKED.
        When the time is up it is RUNNING."""

    async def checkpoint(self, pid: HostPID) -> None:
        """Bring what is on the GPU into the process's memory. LOCKED -> CHECKPOINTED."""

    async def restore(self, pid: HostPID, devices: Mapping[GPU_UUID, GPU_UUID]) -> None:
        """Bring it back. CHECKPOINTED -> LOCKED. devices: old -> new, every GPU that the process
        saw; empty: the same ones."""

    async def unlock(self, pid: HostPID) -> None:
        """Let calls through again. LOCKED -> RUNNING."""
