"""Page files as they lie on a slow volume: each block of 1 MiB compressed by itself, so that many
threads read them as they read the file itself.

`pages-N.bin.zst` or `.lz4` has the blocks in any order and then a table: for each block where it
begins and its size, as two little-endian 64-bit numbers, and behind all of these the BLAKE3 of the
bytes that are stored for each. Size 0: all zeroes. As long as the block itself: not compressed. The
table's hash is in the manifest, which is signed, so nothing is unpacked that was not checked.
"""

import operator
import os
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from agent.kernel import memory, workers
from agent.kernel.memory import Buffer, zero
from agent.store import codecs, contents, hashing
from agent.store.codecs import Unpacker
from agent.store.failures import named
from chrek.compression import Compression
from chrek.errors import DamagedError
from chrek.manifest import Codec, Compressed, StoredFile

_BLOCK: Final = hashing.BLOCK_BYTES
_PLACE_BYTES: Final = 16
_ENTRY_BYTES: Final = _PLACE_BYTES + hashing.DIGEST_BYTES


class Table(msgspec.Struct, frozen=True):
    """Of one file. size_bytes: of the file before it was compressed. places, digests: of its
    blocks, as in the table."""

    name: str
    codec: Codec
    size_bytes: int
    places: bytes
    digests: bytes

    def size_of(self, number: int) -> int:
        """Of a block before it was compressed, in bytes."""
        return min(_BLOCK, self.size_bytes - number * _BLOCK)

    def place(self, number: int) -> tuple[int, int]:
        """Where a block is stored: offset, bytes."""
        first = number * _PLACE_BYTES
        offset, stored = array("Q", self.places[first : first + _PLACE_BYTES])
        return offset, stored

    @property
    def present_bytes(self) -> int:
        """Of the blocks that have more than zeroes, before they were compressed."""
        sizes = array("Q", self.places)[1::2]
        return sum(self.size_of(number) for number, stored in enumerate(sizes) if stored)


class Reader:
    """Blocks of compressed files, for one thread."""

    def __init__(self) -> None:
        self._buffer = Buffer(_BLOCK)
        self._unpacker = Unpacker()

    def read(self, descriptor: int, table: Table, number: int) -> bytes | memoryview:
        """A block as it was, checked; for as long as no other is read. Raises DamagedError,
        StorageError."""
        size, (offset, stored) = table.size_of(number), table.place(number)
        if stored == 0:
            return bytes(size)
        with named(f"{table.name} of the checkpoint"):
            whole = stored <= size and self._buffer.fill(descriptor, stored, offset)
        packed = self._buffer.view[:stored]
        if not whole or hashing.of_block(packed) != table.digests[hashing.place(number)]:
            raise contents.differs(table.name)
        return packed if stored == size else self._unpacker.unpack(table.codec, packed, size)


@contextmanager
def opened(directory: int, file: StoredFile) -> Iterator[tuple[int, Table | None]]:
    """A descriptor of a file of a checkpoint, and its table if it lies there only compressed.
    Raises DamagedError, StorageError."""
    made = file.compressed
    if made is None or contents.exists(directory, file.name):
        descriptor, made = contents.open_file(directory, file), None
    else:
        descriptor = contents.open_named(
            directory, file.compressed_name(made.codec), made.size_bytes
        )
    try:
        yield descriptor, _table(descriptor, file, made) if made else None
    finally:
        os.close(descriptor)


def verify(directory: int, file: StoredFile) -> None:
    """Raise DamagedError unless a file of a checkpoint is what was published."""
    with opened(directory, file) as (descriptor, table):
        if table is None:
            contents.verified(descriptor, file)
            return
        reader = Reader()
        hasher = hashing.Hasher(file.digest)
        for number in range(hashing.block_count(file.size_bytes)):
            hasher.update(memoryview(reader.read(descriptor, table, number)))
        if hasher.digest() != file.digest:
            raise contents.differs(table.name)


def write(
    source: int, file: StoredFile, target: Path, chosen: Compression, step: Callable[[], object]
) -> StoredFile:
    """Compress `file`, which is open as `source`, to a new file beside where `target` would be: the
    file as a manifest lists it then. step: called before each block, in several threads; what it
    raises ends it. Raises DamagedError where the file is not the one that was hashed, and
    StorageError."""
    count = hashing.block_count(file.size_bytes)
    places = array("Q", bytes(count * _PLACE_BYTES))
    digests, stored_digests = (bytearray(count * hashing.DIGEST_BYTES) for _ in range(2))
    path = target.with_name(file.compressed_name(chosen.codec))
    taking, end = threading.Lock(), 0

    def begin() -> Callable[[int], None]:
        buffer, pack = Buffer(_BLOCK), codecs.packer(chosen)

        def one(number: int) -> None:
            nonlocal end
            step()
            size = min(_BLOCK, file.size_bytes - number * _BLOCK)
            with named(f"{file.name} of the checkpoint"):
                if not buffer.fill(source, size, number * _BLOCK):
                    raise contents.differs(file.name)
            block = buffer.view[:size]
            here = hashing.place(number)
            digests[here] = hashing.of_block(block)
            packed = b"" if zero(buffer.address, size) else pack(block)
            stored_digests[here] = hashing.of_block(packed)
            with taking:
                offset, end = end, end + len(packed)
            places[2 * number], places[2 * number + 1] = offset, len(packed)
            with named(str(path)):
                memory.write(new, memoryview(packed), offset)

        return one

    with contents.created(path) as new:
        workers.spread(range(count), _threads(chosen), threading.Event(), begin)
        table = places.tobytes() + bytes(stored_digests)
        with named(str(path)):
            memory.write(new, memoryview(table), end)
    if hashing.of_blocks(bytes(digests)) != file.digest:
        raise contents.differs(file.name)
    made = Compressed(chosen.codec, end + len(table), hashing.of_bytes(table))
    return msgspec.structs.replace(file, compressed=made)


def _threads(chosen: Compression) -> int:
    return chosen.threads or max(1, workers.threads() // 4)


def _table(descriptor: int, file: StoredFile, made: Compressed) -> Table:
    name = file.compressed_name(made.codec)
    count = hashing.block_count(file.size_bytes)
    start = made.size_bytes - count * _ENTRY_BYTES
    buffer = bytearray(count * _ENTRY_BYTES)
    with named(f"{name} of the checkpoint"):
        whole = start >= 0 and memory.read(descriptor, memoryview(buffer), start) == len(buffer)
    content = bytes(buffer)
    if not whole or hashing.of_bytes(content) != made.table:
        raise contents.differs(name)
    size = count * _PLACE_BYTES
    places, digests = content[:size], content[size:]
    numbers = array("Q", places)
    ends = map(operator.add, numbers[::2], numbers[1::2])
    if any(end > start for end in ends):
        raise DamagedError(f"the table of {name} is for a larger file")
    return Table(name, made.codec, file.size_bytes, places, digests)
