"""The seccomp programs of a process, read with ptrace(2), which stops it for microseconds.

PTRACE_SEIZE gives no signal and leaves no trace; should this process die meanwhile, the kernel
lets the other go on.
"""

import ctypes
import errno
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final

from chrek.errors import ExceedsError, TargetGoneError

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_DETACH: Final = 17
_SECCOMP_GET_FILTER: Final = 0x420C
_WALL: Final = 0x40000000
_INSTRUCTION_BYTES: Final = 8
_MOST_INSTRUCTIONS: Final = 4096
"""BPF_MAXINSNS."""
_MOST_FILTERS: Final = 64
_STOP_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.0002

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long


def of(pid: int) -> tuple[bytes, ...]:
    """The programs of a process, oldest first; raises ExceedsError where they cannot be read."""
    try:
        # A tracer is a thread. With this one's end the process goes on, whatever went wrong.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(_read, pid).result()
    except ProcessLookupError as error:
        raise TargetGoneError(f"process {pid} has ended") from error
    except OSError as error:
        raise ExceedsError(
            f"the container's seccomp filters cannot be read: {error.strerror}",
            hint="The agent must be privileged and the kernel have CONFIG_CHECKPOINT_RESTORE",
        ) from error


def _read(pid: int) -> tuple[bytes, ...]:
    with _stopped(pid):
        return tuple(_each(pid))


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    _ptrace(_SEIZE, pid, 0)
    delivered = 0
    try:
        _ptrace(_INTERRUPT, pid, 0)
        delivered = _stop(pid)
        yield
    finally:
        with suppress(ProcessLookupError):
            _ptrace(_DETACH, pid, 0, delivered)


def _stop(pid: int) -> int:
    """Wait until it stands; the signal that it stands before, to be given back to it."""
    deadline = time.monotonic() + _STOP_SECONDS
    while True:
        found, status = os.waitpid(pid, os.WNOHANG | _WALL)
        if found and not os.WIFSTOPPED(status):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        if found:
            stopped_by = os.WSTOPSIG(status)
            event = status >> 16
            return 0 if event or stopped_by == signal.SIGTRAP else stopped_by
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        time.sleep(_POLL_SECONDS)


def _each(pid: int) -> Iterator[bytes]:
    buffer = ctypes.create_string_buffer(_MOST_INSTRUCTIONS * _INSTRUCTION_BYTES)
    for number in range(_MOST_FILTERS):
        try:
            count = _ptrace(_SECCOMP_GET_FILTER, pid, number, ctypes.addressof(buffer))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return
            raise
        yield buffer.raw[: count * _INSTRUCTION_BYTES]
    raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))


def _ptrace(request: int, pid: int, address: int, data: int = 0) -> int:
    result: int = _libc.ptrace(
        ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address), ctypes.c_void_p(data)
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
