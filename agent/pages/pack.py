"""Pages leave CRIU's images, after the dump: their file stays as it is and gets another name.

Only what stays with CRIU is copied, to a new `pages-N.img`. What is then in the old file and
belongs nowhere becomes holes, where the volume can have them.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from agent.criu.bundle import Bundle
from agent.kernel import calls, memory, workers
from agent.kernel.memory import Buffer, zero
from agent.pages import choice, cow, dumped, index, pagemap
from agent.pages.choice import Interval, Leaving
from agent.pages.dumped import Dumped
from agent.pages.index import Extent, Index, PageFile
from agent.store import hashing
from chrek.errors import DamagedError
from chrek.manifest import StoredFile
from chrek.names import CRIU_DIR, PAGES_INDEX, PAGES_PREFIX, PAGES_SUFFIX

_UNIT_BYTES: Final = 64 << 10
"""Zeroes are looked for, and holes made, in no smaller pieces."""
_MOST_COMPARED: Final = 200
"""Processes whose pages may leave, the largest ones: all of these images are open at once."""
_BLOCK: Final = hashing.BLOCK_BYTES


def pack(bundle: Bundle, staged: Path, count: int, stop: threading.Event) -> list[StoredFile]:
    """Take large memory out of the images of a staged checkpoint, with `count` threads; the new
    files, hashed. None where there is too little of it. Raises DamagedError, OSError,
    StoppedError."""
    images = staged / CRIU_DIR
    found = dumped.read(bundle, images)
    leaving = _chosen(found, images, count, stop)
    files: list[PageFile] = []
    stored: list[StoredFile] = []
    for each in leaving:
        name = f"{PAGES_PREFIX}{each.pages.number}{PAGES_SUFFIX}"
        place = staged / name
        _pages(images, each.pages.number).rename(place)
        descriptor = _opened(place, os.O_RDWR)
        try:
            _keep(bundle, images, each, descriptor)
            made = _hashed(name, each, descriptor, count, stop)
        finally:
            os.close(descriptor)
        files.append(made)
        digest = hashing.of_blocks(made.digests)
        stored.append(StoredFile(name, each.pages.size_bytes, digest))
    if files:
        content = index.encode(Index(files))
        (staged / PAGES_INDEX).write_bytes(content)
        stored.append(StoredFile(PAGES_INDEX, len(content), hashing.of_bytes(content)))
    return stored


def _chosen(found: Dumped, images: Path, count: int, stop: threading.Event) -> list[Leaving]:
    """What leaves, the largest first."""
    by_size = sorted(found.tasks.values(), key=lambda task: -task.pages.size_bytes)
    large = {task.pid: task for task in by_size[:_MOST_COMPARED]}
    with ExitStack() as stack:
        files: dict[int, int] = {}
        for task in large.values():
            files[task.pages.number] = _opened(_pages(images, task.pages.number), os.O_RDONLY)
            stack.callback(os.close, files[task.pages.number])
        kept = cow.shared(Dumped(large, {}, {}), files, count, stop)
    chosen = [choice.of_task(task, kept.get(pid, [])) for pid, task in large.items()]
    chosen += [choice.of_shared(found, number) for number in found.shared]
    return sorted(filter(None, chosen), key=lambda each: -each.pages.size_bytes)


def _keep(bundle: Bundle, images: Path, leaving: Leaving, descriptor: int) -> None:
    """What stays becomes images of its own, and goes from the old file."""
    if os.fstat(descriptor).st_size != leaving.pages.size_bytes:
        raise DamagedError("CRIU's pages are not as many as it says")
    kept = leaving.kept
    buffer = Buffer(_BLOCK)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    new = os.open(_pages(images, leaving.pages.number), flags, 0o600)
    try:
        end = 0
        for run in kept:
            for offset in range(run.offset, run.offset + run.size, _BLOCK):
                size = min(_BLOCK, run.offset + run.size - offset)
                if not buffer.fill(descriptor, size, offset):
                    raise DamagedError("CRIU's pages are fewer than it says")
                memory.write(new, buffer.view[:size], end)
                end += size
    finally:
        os.close(new)
    image = images / leaving.pagemap
    image.write_bytes(pagemap.written(bundle, image.read_bytes(), kept))
    _punch(descriptor, [(run.offset, run.offset + run.size) for run in kept])


def _hashed(
    name: str, leaving: Leaving, descriptor: int, count: int, stop: threading.Event
) -> PageFile:
    """Hash every block, and find out on the way what is zero and need not be kept."""
    size_bytes = leaving.pages.size_bytes
    blocks = hashing.block_count(size_bytes)
    digests = bytearray(blocks * hashing.DIGEST_BYTES)
    zeroes: list[list[Interval]] = [[] for _ in range(blocks)]
    droppable = index.Extents(
        index.packed(Extent(p.there, p.offset, p.size) for p in leaving.pieces if p.droppable)
    )

    def begin() -> Callable[[int], None]:
        buffer = Buffer(_BLOCK)

        def one(number: int) -> None:
            start = number * _BLOCK
            size = min(_BLOCK, size_bytes - start)
            if not buffer.fill(descriptor, size, start):
                raise DamagedError(f"{name} became shorter")
            digests[hashing.place(number)] = hashing.of_block(buffer.view[:size])
            for extent in droppable.within(start, start + size):
                zeroes[number] += _zeroes(buffer.address - start, extent)

        return one

    workers.spread(range(blocks), count, stop, begin)
    gone = cow.joined([interval for found in zeroes for interval in found])
    _punch(descriptor, gone)
    extents = index.packed(_remaining(leaving, gone))
    return PageFile(name, leaving.pid, leaving.shared, bytes(digests), extents, leaving.huge)


def _zeroes(base: int, extent: Extent) -> Iterator[Interval]:
    """Offsets in the file; the byte at offset x is at the address base + x here."""
    for offset in range(extent.offset, extent.offset + extent.size, _UNIT_BYTES):
        size = min(_UNIT_BYTES, extent.offset + extent.size - offset)
        if zero(base + offset, size):
            yield offset, offset + size


def _remaining(leaving: Leaving, gone: Sequence[Interval]) -> Iterator[Extent]:
    """By offset; those that touch each other on both sides are one."""
    pieces = [pagemap.Run(p.offset, p.there, p.size) for p in leaving.pieces]
    last: Extent | None = None
    for offset, there, size, _ in choice.without(pieces, gone):
        if last and (last.there + last.size, last.offset + last.size) == (there, offset):
            last = last._replace(size=last.size + size)
            continue
        if last:
            yield last
        last = Extent(there, offset, size)
    if last:
        yield last


def _punch(descriptor: int, ranges: Sequence[Interval]) -> None:
    for start, end in ranges:
        if end - start >= _UNIT_BYTES:
            with suppress(OSError):  # a volume that cannot keeps bytes that nobody reads
                calls.punch_hole(descriptor, start, end - start)


def _pages(images: Path, number: int) -> Path:
    return images / f"pages-{number}.img"


def _opened(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
