"""Memory of this process and of others, moved and compared by the kernel and libc: none of these
calls holds Python's lock while it works.
"""

import ctypes
import mmap
import os
import signal
from collections.abc import Sequence
from typing import Final, Self

PAGE_BYTES: Final = mmap.PAGESIZE
_MOST_PARTS: Final = 512
"""Of one call; the kernel takes 1024."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.process_vm_writev.restype = ctypes.c_ssize_t


class _IOVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


Part = tuple[int, int, int]
"""Address here, address there, bytes."""


def read(descriptor: int, view: memoryview, offset: int) -> int:
    """Fill `view` from a file; how many bytes: fewer only at the end of the file."""
    filled = 0
    while filled < len(view):
        got = os.preadv(descriptor, [view[filled:]], offset + filled)
        if got == 0:
            break
        filled += got
    return filled


def write(descriptor: int, view: memoryview, offset: int) -> None:
    """Write all of `view` to a file."""
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def address_of(content: bytes | memoryview) -> int:
    """Of bytes of this process, for as long as they live."""
    if isinstance(content, bytes):
        return ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p).value or 0
    return ctypes.addressof(ctypes.c_char.from_buffer(content))


class Buffer:
    """`size_bytes` of memory at a fixed address, zero at first, aligned to pages."""

    def __init__(self, size_bytes: int) -> None:
        self._map = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self._map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def fill(self, descriptor: int, size_bytes: int, offset: int) -> bool:
        """Read so much of a file to the beginning; False if it is shorter."""
        return read(descriptor, self.view[:size_bytes], offset) == size_bytes


_ZEROES: Final = Buffer(1 << 20)


def same(first: int, second: int, size_bytes: int) -> bool:
    """Whether the bytes at two addresses of this process are equal."""
    return bool(
        _libc.memcmp(ctypes.c_void_p(first), ctypes.c_void_p(second), ctypes.c_size_t(size_bytes))
        == 0
    )


def zero(address: int, size_bytes: int) -> bool:
    """Whether so many bytes, at most 1 MiB, at an address of this process are zero."""
    return same(address, _ZEROES.address, size_bytes)


class Other:
    """The memory of another process, for as long as that lives: another one that gets its PID
    later is not written to. Raises ProcessLookupError."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pidfd)

    def write(self, parts: Sequence[Part]) -> None:
        """Write memory of this process there. Raises OSError: EFAULT where the other one has no
        writable memory, ProcessLookupError once it has ended."""
        for first in range(0, len(parts), _MOST_PARTS):
            left = list(parts[first : first + _MOST_PARTS])
            while left:
                left = _less(left, self._written(left))

    def _written(self, parts: list[Part]) -> int:
        signal.pidfd_send_signal(self._pidfd, 0)  # once it is reaped, its PID can be another's
        vectors = _IOVector * len(parts)
        here = vectors(*(_IOVector(part[0], part[2]) for part in parts))
        there = vectors(*(_IOVector(part[1], part[2]) for part in parts))
        count = ctypes.c_ulong(len(parts))
        written = int(
            _libc.process_vm_writev(
                ctypes.c_int(self.pid), here, count, there, count, ctypes.c_ulong(0)
            )
        )
        if written <= 0:
            code = ctypes.get_errno()
            raise OSError(code, f"process_vm_writev: {os.strerror(code)}")
        return written


def _less(parts: list[Part], written: int) -> list[Part]:
    """What is left to be written."""
    for number, (here, there, size) in enumerate(parts):
        if written < size:
            rest = (here + written, there + written, size - written)
            return [rest, *parts[number + 1 :]]
        written -= size
    return []
