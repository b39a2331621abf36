"""A checkpoint from one disk to another: each file is read once and hashed on the way, and what is
zero in it is not written. Page files are compressed on the way to a volume, where that is wanted,
and become what they were on the way to a node."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.kernel import memory
from agent.kernel.memory import Buffer, zero
from agent.store import compressed, contents, hashing
from agent.store.compressed import Reader, Table
from agent.store.failures import named
from chrek.compression import Compression
from chrek.errors import StorageFullError
from chrek.manifest import MAX_BYTES, StoredFile
from chrek.names import CRIU_DIR, MANIFEST, PAGES_PREFIX, SIGNATURE

_PIECE_BYTES: Final = 8 << 20
_UNIT_BYTES: Final = 64 << 10
"""Zeroes are looked for in no smaller pieces."""


Piece = bytes | memoryview


class GivenUpError(Exception):
    """Nobody wants the copy any more; for a `step` to raise."""


def copy(
    source: Path,
    files: Collection[StoredFile],
    target: Path,
    step: Callable[[], object],
    compression: Compression | None = None,
) -> list[StoredFile]:
    """Write the `files` of the checkpoint in `source` to the new directory `target`: as a manifest
    lists them then. step: called before each piece, also in several threads; what it raises ends
    the copy.

    Raises DamagedError where a file is not the one that was hashed, and StorageError.
    """
    with named(str(target)):
        (target / CRIU_DIR).mkdir(mode=0o700)
    buffer = Buffer(_PIECE_BYTES)
    made: list[StoredFile] = []
    with contents.opened(source) as directory:
        for file in files:
            with compressed.opened(directory, file) as (descriptor, table):
                place = target / file.name
                if compression and table is None and file.name.startswith(PAGES_PREFIX):
                    made.append(compressed.write(descriptor, file, place, compression, step))
                    continue
                if table is None:
                    pieces = _plain(descriptor, file, buffer, step)
                else:
                    pieces = _unpacked(descriptor, table, step)
                _copy(pieces, file, place)
                made.append(file)
    return made


def seal(source: Path, target: Path) -> None:
    """Copy the manifest and its signature, last: what has none is no checkpoint. Raises
    DamagedError, StorageError."""
    with contents.opened(source) as directory:
        for name in (SIGNATURE, MANIFEST):
            content = contents.read_plain(directory, name, MAX_BYTES)
            with contents.created(target / name) as new, named(str(target / name)):
                memory.write(new, memoryview(content), 0)


def compress(
    place: Path, files: Collection[StoredFile], chosen: Compression, step: Callable[[], object]
) -> list[StoredFile]:
    """Have each page file of the staged checkpoint in `place` only compressed there, for as long as
    there is room for both. As `copy`."""
    made: list[StoredFile] = []
    with contents.opened(place) as directory:
        for file in files:
            if not file.name.startswith(PAGES_PREFIX):
                made.append(file)
                continue
            with compressed.opened(directory, file) as (descriptor, _):
                try:
                    done = compressed.write(descriptor, file, place / file.name, chosen, step)
                except StorageFullError:
                    (place / file.compressed_name(chosen.codec)).unlink(missing_ok=True)
                    done = file
            made.append(done)
            if done.compressed:
                with named(str(place / file.name)):
                    (place / file.name).unlink()
    return made


def _copy(pieces: Iterable[Piece], file: StoredFile, target: Path) -> None:
    hasher = hashing.Hasher(file.digest, most_threads=1)  # the pods of the node want the others
    with contents.created(target) as new:
        offset = 0
        for piece in pieces:
            hasher.update(memoryview(piece))
            with named(str(target)):
                for start, end in _present(piece):
                    memory.write(new, memoryview(piece)[start:end], offset + start)
            offset += len(piece)
        with named(str(target)):
            os.ftruncate(new, file.size_bytes)
    if hasher.digest() != file.digest:
        raise contents.differs(file.name)


def _plain(
    descriptor: int, file: StoredFile, buffer: Buffer, step: Callable[[], object]
) -> Iterator[Piece]:
    for offset in range(0, file.size_bytes, _PIECE_BYTES):
        step()
        size = min(_PIECE_BYTES, file.size_bytes - offset)
        with named(f"{file.name} of the checkpoint"):
            whole = buffer.fill(descriptor, size, offset)
        if not whole:
            return
        yield buffer.view[:size]


def _unpacked(descriptor: int, table: Table, step: Callable[[], object]) -> Iterator[Piece]:
    reader = Reader()
    for number in range(hashing.block_count(table.size_bytes)):
        step()
        yield reader.read(descriptor, table, number)


def _present(piece: Piece) -> Iterator[tuple[int, int]]:
    """Where it holds more than zeroes: from, to."""
    address, size_bytes = memory.address_of(piece), len(piece)
    begun: int | None = None
    for start in range(0, size_bytes, _UNIT_BYTES):
        is_zero = zero(address + start, min(_UNIT_BYTES, size_bytes - start))
        if is_zero and begun is not None:
            yield begun, start
            begun = None
        elif not is_zero and begun is None:
            begun = start
    if begun is not None:
        yield begun, size_bytes
