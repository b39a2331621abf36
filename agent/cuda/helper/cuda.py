"""CUDA's checkpoint calls, made. Only the helper imports this.

A call that fails raises ResultError with the CUresult's name.
"""

import ctypes
import uuid
from typing import Any

from cuda.bindings import driver

from agent.cuda.driver import State

_STATES = {0: State.RUNNING, 1: State.LOCKED, 2: State.CHECKPOINTED, 3: State.FAILED}


class ResultError(Exception):
    """The name of a CUresult, or what took its place."""


class CUDA:
    """The driver, initialised. Every method releases the GIL for the length of the call."""

    def __init__(self) -> None:
        _checked(driver.cuInit(0))

    def state(self, pid: int) -> str:
        found = int(_checked(driver.cuCheckpointProcessGetState(pid)))
        # Newer drivers know states of a checkpoint that the caller copies; chrek makes none.
        return _STATES.get(found, State.FAILED).value

    def restore_thread(self, pid: int) -> int:
        return int(_checked(driver.cuCheckpointProcessGetRestoreThreadId(pid)))

    def lock(self, pid: int, timeout_ms: int) -> None:
        arguments = driver.CUcheckpointLockArgs()
        arguments.timeoutMs = timeout_ms
        _checked(driver.cuCheckpointProcessLock(pid, arguments))

    def checkpoint(self, pid: int) -> None:
        _checked(driver.cuCheckpointProcessCheckpoint(pid, None))

    def restore(self, pid: int, devices: dict[str, str]) -> None:
        if not devices:
            _checked(driver.cuCheckpointProcessRestore(pid, None))
            return
        pairs = []
        for old, new in devices.items():
            pair = driver.CUcheckpointGpuPair()
            pair.oldUuid = _uuid(old)
            pair.newUuid = _uuid(new)
            pairs.append(pair)
        arguments = driver.CUcheckpointRestoreArgs()
        arguments.gpuPairs = pairs
        arguments.gpuPairsCount = len(pairs)
        _checked(driver.cuCheckpointProcessRestore(pid, arguments))

    def unlock(self, pid: int) -> None:
        _checked(driver.cuCheckpointProcessUnlock(pid, None))


def _uuid(text: str) -> Any:
    made = driver.CUuuid()
    content = uuid.UUID(text.removeprefix("GPU-")).bytes
    ctypes.memmove(made.getPtr(), content, len(content))  # its bytes cannot be assigned
    return made


def _checked(answer: tuple[Any, ...]) -> Any:
    result, *values = answer
    if int(result) != 0:
        raise ResultError(getattr(result, "name", str(result)))
    return values[0] if values else None
