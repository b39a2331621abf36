"""What the machine itself can do, by the same threads with the same calls, in the same run."""

import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agent.kernel.memory import Buffer, Other
from agent.pages import workers
from agent.store import hashing
from bench.memory import warm

_BLOCK: Final = hashing.BLOCK_BYTES
_STRIPE: Final = 16 * _BLOCK
_CHILD: Final = """
import ctypes, mmap, sys
memory = mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(int(sys.argv[2]))
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
sys.stdin.read()
"""
Step = Callable[[Buffer, int], object]


def measured(work: Path, size_bytes: int, count: int) -> dict[str, float]:
    """Seconds for so many bytes (a multiple of 16 MiB), by what was done."""
    place = work / "limits"
    content = os.urandom(_STRIPE)
    with place.open("wb") as file:
        for _ in range(0, size_bytes, _STRIPE):
            file.write(content)
    descriptor = os.open(place, os.O_RDONLY)
    place.unlink()
    try:
        return dict(_each(descriptor, size_bytes, count))
    finally:
        os.close(descriptor)


def _each(descriptor: int, size_bytes: int, count: int) -> Iterator[tuple[str, float]]:
    def read(buffer: Buffer, offset: int) -> None:
        buffer.fill(descriptor, _BLOCK, offset)

    def hashed(buffer: Buffer, _: int) -> None:
        hashing.of_block(buffer.view)

    yield "preadv", _timed([read], size_bytes, count)
    yield "hash", _timed([hashed], size_bytes, count)
    yield "memcpy", _copied(size_bytes, count)
    for name, advice in (("small", mmap.MADV_NOHUGEPAGE), ("huge", mmap.MADV_HUGEPAGE)):
        for steps, what in (
            ([], "writev"),
            ([read], "preadv+writev"),
            ([read, hashed], "preadv+hash+writev"),
        ):
            with _other(size_bytes, advice) as (other, address):
                write = _writing(other, address)
                yield f"{what}, {name} pages", _timed([*steps, write], size_bytes, count)


def _copied(size_bytes: int, count: int) -> float:
    """Into memory that is there already."""
    place = Buffer(min(size_bytes, 1 << 30))
    place.view[:] = bytes(len(place.view))

    def copy(buffer: Buffer, offset: int) -> None:
        at = offset % len(place.view)
        place.view[at : at + _BLOCK] = buffer.view

    return _timed([copy], size_bytes, count)


def _writing(other: Other, address: int) -> Step:
    return lambda buffer, offset: other.write([(buffer.address, address + offset, _BLOCK)])


def _timed(steps: list[Step], size_bytes: int, count: int) -> float:
    def begin() -> Callable[[int], None]:
        buffer = Buffer(_BLOCK)
        buffer.view[:] = os.urandom(_BLOCK)

        def stripe(start: int) -> None:
            for offset in range(start, start + _STRIPE, _BLOCK):
                for step in steps:
                    step(buffer, offset)

        return stripe

    warm.warm(size_bytes)
    started = time.monotonic()
    workers.spread(range(0, size_bytes, _STRIPE), count, threading.Event(), begin)
    return time.monotonic() - started


@contextmanager
def _other(size_bytes: int, advice: int) -> Iterator[tuple[Other, int]]:
    """A process with so much fresh memory, and where that is, aligned to huge pages."""
    words = [sys.executable, "-I", "-S", "-c", _CHILD, str(size_bytes + (2 << 20)), str(advice)]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        address = int(child.stdout.readline()) + (2 << 20) - 1 & ~((2 << 20) - 1)
        with Other(child.pid) as other:
            yield other, address
    finally:
        child.communicate()
