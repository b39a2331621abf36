"""pages.idx: where the bytes of each `pages-N.bin` belong, and the hash of each of its blocks.

MessagePack. Its own hash is in the manifest, which is signed.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import msgspec

from agent.kernel.memory import PAGE_BYTES
from agent.store import hashing
from agent.store.compressed import Table
from chrek.errors import DamagedError
from chrek.manifest import Pid

MAX_BYTES: Final = 64 << 20
"""An index larger than this is not read."""
_MOST_FILES: Final = 1000
_NUMBERS: Final = 3
_NUMBER_BYTES: Final = 8


class Extent(NamedTuple):
    """Bytes of the file and the address that they belong to."""

    there: int
    offset: int
    size: int


class PageFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `pages-N.bin`. pid: the process that it is written to, as the container counts; shared:
    through a mapping of shared memory, else into private ones. digests: of its blocks, one behind
    the other. extents: by offset, each three little-endian 64-bit numbers as in `Extent`. huge:
    where mappings start that are given huge pages."""

    name: Annotated[str, msgspec.Meta(pattern=r"^pages-[1-9][0-9]{0,8}\.bin\Z")]
    pid: Pid
    shared: bool
    digests: bytes
    extents: bytes
    huge: list[Annotated[int, msgspec.Meta(ge=0)]]


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them."""

    files: Annotated[list[PageFile], msgspec.Meta(min_length=1, max_length=_MOST_FILES)]


class Extents:
    """Extents of one file, by offset, three numbers each: there may be many."""

    def __init__(self, packed: bytes) -> None:
        self._numbers = array("Q")
        self._numbers.frombytes(packed)
        self._offsets = self._numbers[1::_NUMBERS]

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Extent]:
        return (self._at(number) for number in range(len(self)))

    def within(self, start: int, end: int) -> Iterator[Extent]:
        """What lies between two offsets of the file, cut at them."""
        number = max(bisect_right(self._offsets, start) - 1, 0)
        while number < len(self._offsets) and self._offsets[number] < end:
            there, offset, size = self._at(number)
            first, last = max(offset, start), min(offset + size, end)
            if first < last:
                yield Extent(there + first - offset, first, last - first)
            number += 1

    def blocks(self) -> Iterator[int]:
        """The numbers of the blocks that have any, each once, in order."""
        done = -1
        for offset, size in zip(self._offsets, self._numbers[2::_NUMBERS], strict=True):
            first = max(offset // hashing.BLOCK_BYTES, done + 1)
            done = max(done, (offset + size - 1) // hashing.BLOCK_BYTES)
            yield from range(first, done + 1)

    def _at(self, number: int) -> Extent:
        first = number * _NUMBERS
        return Extent(*self._numbers[first : first + _NUMBERS])


@dataclass(frozen=True, slots=True)
class Opened:
    """One page file. descriptor: of its bytes, which are not checked yet. table: where they are in
    there, if they are compressed. size_bytes: when they are not."""

    file: PageFile
    extents: Extents
    descriptor: int
    size_bytes: int
    table: Table | None = None

    @property
    def mappings(self) -> str:
        """The image that describes the memory that they go to."""
        return f"mm-{self.file.pid}.img"


def packed(extents: Iterable[Extent]) -> bytes:
    """Extents as an index has them."""
    return array("Q", (number for extent in extents for number in extent)).tobytes()


def encode(index: Index) -> bytes:
    """The bytes of pages.idx."""
    return msgspec.msgpack.encode(index)


def decode(content: bytes) -> Index:
    """Raises DamagedError."""
    try:
        found = msgspec.msgpack.decode(content, type=Index)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"the index of pages is none: {error}") from error
    for file in found.files:
        if len(file.extents) % (_NUMBERS * _NUMBER_BYTES):
            raise DamagedError(f"the index of pages cannot place {file.name}")
    return found


def check_order(name: str, extents: Extents, size_bytes: int) -> None:
    """Raise DamagedError unless each begins behind the one before, and all are in a file of so many
    bytes, whole pages each."""
    at = 0
    for there, offset, size in extents:
        if (there | offset | size) % PAGE_BYTES or size == 0 or offset < at:
            raise DamagedError(f"the index of pages has {name} in no order")
        at = offset + size
        if at > size_bytes or there + size > 1 << 63:
            raise DamagedError(f"the index of pages is for a larger {name}")
