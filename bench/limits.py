"""What the machine itself can do, by as many threads with the same calls, in the same run.

They are threads of one Python. What calls it once for each MiB waits for its lock where there are
many of them: there chrek, whose loaders are several processes, can be faster than `writev` here.
"""

import ctypes
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agent.kernel import memory, workers
from agent.kernel.memory import Buffer, Other
from agent.store import hashing
from bench import results, warm
from bench.results import Row

_BLOCK: Final = hashing.BLOCK_BYTES
STRIPE_BYTES: Final = 16 * _BLOCK
_HUGE: Final = 2 << 20
_COPIED: Final = 1 << 30
_PAGES: Final = {"small": mmap.MADV_NOHUGEPAGE, "huge": mmap.MADV_HUGEPAGE}
_CHILD: Final = """
import ctypes, mmap, sys
memory = mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(int(sys.argv[2]))
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
sys.stdin.read()
"""
_libc: Final = ctypes.CDLL(None)  # its calls do not hold Python's lock
_libc.mmap.restype = ctypes.c_void_p
Step = Callable[[Buffer, int], object]

ALONE: Final = (
    "preadv",
    "memcpy",
    "hash",
    "preadv, fresh small pages",
    "preadv, fresh huge pages",
)
TOGETHER: Final = tuple(
    f"{what}, {pages} pages"
    for pages in _PAGES
    for what in ("writev", "preadv+writev", "preadv+hash+writev", "map+hash+writev")
)
"""writev: process_vm_writev into another process's fresh memory. map: each block of the file is
mapped, and hashed and written from there, instead of read."""
COLD: Final = ("preadv+hash, cold disk", "O_DIRECT+hash, cold disk")
"""From a file that is not in the page cache."""


def rows(
    work: Path,
    size_bytes: int,
    counts: Sequence[int],
    names: Sequence[str] = (*ALONE, *TOGETHER),
    cold: Sequence[str] = COLD,
) -> Iterator[Row]:
    """One for each of `names` and number of threads, as it is known, then for those of `cold`.
    size_bytes: a multiple of STRIPE_BYTES; a file of so much in `work` is what is read."""
    with _file(work / "limits", size_bytes) as descriptor:
        for count in counts:
            for name in names:
                warm.warm(size_bytes)
                seconds = _measured(name, descriptor, size_bytes, count)
                yield results.row("limit", size_bytes, name, total_seconds=seconds, threads=count)
        for count in counts:
            for name in cold:
                seconds = _cold(name, descriptor, size_bytes, count)
                yield results.row(
                    "limit", size_bytes, name, cache="disk", total_seconds=seconds, threads=count
                )  # fmt: skip


def _cold(name: str, descriptor: int, size_bytes: int, count: int) -> float:
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    flags = os.O_RDONLY | (os.O_DIRECT if name.startswith("O_DIRECT") else 0)
    opened = os.open(f"/proc/self/fd/{descriptor}", flags)
    try:
        return _timed([_reading(opened), _hashed], size_bytes, count)
    finally:
        os.close(opened)


def _measured(name: str, descriptor: int, size_bytes: int, count: int) -> float:
    what, _, pages = name.partition(", ")
    advice = _PAGES.get(pages.removeprefix("fresh ").removesuffix(" pages"), 0)
    steps: dict[str, Step] = {"preadv": _reading(descriptor), "hash": _hashed}
    if pages.startswith("fresh"):
        return _read_into(descriptor, size_bytes, count, advice)
    if what == "memcpy":
        return _copied(size_bytes, count)
    *before, last = what.split("+")
    if what.startswith("map"):
        with _other(size_bytes, advice) as (other, address):
            return _timed([_mapping(descriptor, other, address)], size_bytes, count)
    if last == "writev":
        with _other(size_bytes, advice) as (other, address):
            write = _writing(other, address)
            return _timed([*(steps[each] for each in before), write], size_bytes, count)
    return _timed([steps[what]], size_bytes, count)


def _copied(size_bytes: int, count: int) -> float:
    """Between memory that is there already."""
    place = Buffer(min(size_bytes, _COPIED))
    place.view[:] = bytes(len(place.view))

    def copy(buffer: Buffer, offset: int) -> None:
        at = place.address + offset % len(place.view)
        _libc.memcpy(ctypes.c_void_p(at), ctypes.c_void_p(buffer.address), ctypes.c_size_t(_BLOCK))

    return _timed([copy], size_bytes, count)


def _read_into(descriptor: int, size_bytes: int, count: int, advice: int) -> float:
    """Straight into memory of this process that nobody has touched, a stripe with each call."""
    fresh = mmap.mmap(-1, size_bytes + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    fresh.madvise(advice)
    first = -ctypes.addressof(ctypes.c_char.from_buffer(fresh)) % _HUGE
    view = memoryview(fresh)[first : first + size_bytes]

    def stripe(start: int) -> None:
        memory.read(descriptor, view[start : start + STRIPE_BYTES], start)

    return _spread(lambda: stripe, size_bytes, count)


def _reading(descriptor: int) -> Step:
    return lambda buffer, offset: buffer.fill(descriptor, _BLOCK, offset)


def _hashed(buffer: Buffer, _: int) -> None:
    hashing.of_block(buffer.view)


def _mapping(descriptor: int, other: Other, address: int) -> Step:
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE

    def step(_: Buffer, offset: int) -> None:
        here = _libc.mmap(None, _BLOCK, mmap.PROT_READ, flags, descriptor, ctypes.c_long(offset))
        view = memoryview((ctypes.c_char * _BLOCK).from_address(here)).cast("B")
        hashing.of_block(view)
        other.write([(here, address + offset, _BLOCK)])
        _libc.munmap(ctypes.c_void_p(here), ctypes.c_size_t(_BLOCK))

    return step


def _writing(other: Other, address: int) -> Step:
    return lambda buffer, offset: other.write([(buffer.address, address + offset, _BLOCK)])


def _timed(steps: list[Step], size_bytes: int, count: int) -> float:
    def begin() -> Callable[[int], None]:
        buffer = Buffer(_BLOCK)
        buffer.view[:] = os.urandom(_BLOCK)

        def stripe(start: int) -> None:
            for offset in range(start, start + STRIPE_BYTES, _BLOCK):
                for step in steps:
                    step(buffer, offset)

        return stripe

    return _spread(begin, size_bytes, count)


def _spread(begin: Callable[[], Callable[[int], None]], size_bytes: int, count: int) -> float:
    started = time.monotonic()
    workers.spread(range(0, size_bytes, STRIPE_BYTES), count, threading.Event(), begin)
    return time.monotonic() - started


@contextmanager
def _file(place: Path, size_bytes: int) -> Iterator[int]:
    content = os.urandom(STRIPE_BYTES)
    with place.open("wb") as file:
        for _ in range(0, size_bytes, STRIPE_BYTES):
            file.write(content)
    descriptor = os.open(place, os.O_RDONLY)
    place.unlink()
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _other(size_bytes: int, advice: int) -> Iterator[tuple[Other, int]]:
    """A process with so much fresh memory, and where that is, aligned to huge pages."""
    words = [sys.executable, "-I", "-S", "-c", _CHILD, str(size_bytes + _HUGE), str(advice)]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        address = int(child.stdout.readline()) + _HUGE - 1 & ~(_HUGE - 1)
        with Other(child.pid) as other:
            yield other, address
    finally:
        child.communicate()
