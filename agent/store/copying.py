"""A checkpoint from one disk to another: each file is read once and hashed on the way, and what is
zero in it is not written."""

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from agent.kernel.memory import Buffer, zero
from agent.store import checkpoints, hashing
from agent.store.failures import named
from chrek.errors import DamagedError
from chrek.manifest import MAX_BYTES, StoredFile
from chrek.names import CRIU_DIR, MANIFEST, SIGNATURE

_PIECE_BYTES: Final = 8 << 20
_UNIT_BYTES: Final = 64 << 10
"""Zeroes are looked for in no smaller pieces."""


class GivenUpError(Exception):
    """Nobody wants the copy any more; for a `step` to raise."""


def copy(
    source: Path, files: Collection[StoredFile], target: Path, step: Callable[[], object]
) -> None:
    """Write the checkpoint in `source`, whose manifest lists `files`, to the new directory
    `target`. step: called before each piece; what it raises ends the copy.

    Raises DamagedError where a file is not the one that was hashed, and StorageError.
    """
    with named(str(target)):
        (target / CRIU_DIR).mkdir(mode=0o700)
    buffer = Buffer(_PIECE_BYTES)
    with checkpoints.opened(source) as directory:
        for file in files:
            descriptor = checkpoints.open_file(directory, file)
            try:
                _copy(descriptor, file, target / file.name, buffer, step)
            finally:
                os.close(descriptor)
        # The manifest is last here too: what has none is no checkpoint.
        for name in (SIGNATURE, MANIFEST):
            content = checkpoints.read_plain(directory, name, MAX_BYTES)
            with named(str(target / name)):
                new = _new(target / name)
                try:
                    _write(new, memoryview(content), 0)
                finally:
                    os.close(new)


def _copy(
    source: int, file: StoredFile, target: Path, buffer: Buffer, step: Callable[[], object]
) -> None:
    hasher = hashing.Hasher(file.digest, most_threads=1)  # the pods of the node want the others
    with named(str(target)):
        new = _new(target)
    try:
        for offset in range(0, file.size_bytes, _PIECE_BYTES):
            step()
            size = min(_PIECE_BYTES, file.size_bytes - offset)
            with named(f"{file.name} of the checkpoint"):
                whole = buffer.fill(source, size, offset)
            if not whole:
                break
            hasher.update(buffer.view[:size])
            with named(str(target)):
                for start, end in _present(buffer, size):
                    _write(new, buffer.view[start:end], offset + start)
        with named(str(target)):
            os.ftruncate(new, file.size_bytes)
    finally:
        os.close(new)
    if hasher.digest() != file.digest:
        raise DamagedError(f"{file.name} of the checkpoint is damaged: its hash differs")


def _present(buffer: Buffer, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Where the buffer holds more than zeroes: from, to."""
    begun: int | None = None
    for start in range(0, size_bytes, _UNIT_BYTES):
        is_zero = zero(buffer.address + start, min(_UNIT_BYTES, size_bytes - start))
        if is_zero and begun is not None:
            yield begun, start
            begun = None
        elif not is_zero and begun is None:
            begun = start
    if begun is not None:
        yield begun, size_bytes


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _write(descriptor: int, content: memoryview, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written
