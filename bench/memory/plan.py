"""What is measured, and what this machine has no room for. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.memory.rounds import Case
from bench.results import Cache

_MARGIN_BYTES: Final = 1 << 30
_FEWER_ROUNDS: Final = (4 << 30, 8 << 30)


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that can be had."""

    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A case, and how many sides' checkpoints there is room for at once: two take turns, one after
    the other else, and 0: there is no room for the case."""

    case: Case
    sides: int

    @property
    def name(self) -> str:
        """For a person."""
        case = self.case
        return f"{case.size_bytes >> 20} MiB, {case.data}, {'/'.join(case.cached)}"


def planned(
    sizes_bytes: Sequence[int],
    data: Sequence[str],
    cached: Sequence[Cache],
    rounds: int,
    room: Room,
) -> Iterator[Planned]:
    """Random bytes first, from the smallest. The rest of the data is restored from one cache, and
    large sizes, and a tmpfs, have fewer rounds."""
    files: list[Cache] = [each for each in cached if each != "tmpfs"]
    memory: list[Cache] = [each for each in cached if each == "tmpfs"]
    sizes = sorted(set(sizes_bytes))
    others = [(kind, files[:1]) for kind in data if kind != "random"]
    others += [(kind, memory) for kind in data if kind == "random"]
    wanted = [
        *((kind, size, files) for kind in data if kind == "random" for size in sizes),
        *((kind, size, places) for size in sizes for kind, places in others),
    ]
    for kind, size, places in wanted:
        if places:
            tmpfs = places == ["tmpfs"]
            fewer = 1 if tmpfs else rounds_of(size, rounds)
            yield Planned(Case(size, kind, places, fewer), together(size, room, tmpfs=tmpfs))


def rounds_of(size_bytes: int, rounds: int) -> int:
    """How many a size has where small ones have `rounds`."""
    return max(rounds - sum(size_bytes >= each for each in _FEWER_ROUNDS), 1)


def swept(every: Sequence[Planned], threads: Sequence[int]) -> list[Planned]:
    """With so many threads beside chrek's own choice at the largest size of random bytes at which
    sides take turns."""
    for number in range(len(every) - 1, -1, -1):
        each = every[number]
        if each.sides > 1 and each.case.data == "random" and each.case.cached[0] == "page":
            case = replace(each.case, threads=(0, *threads))
            return [*every[:number], replace(each, case=case), *every[number + 1 :]]
    return list(every)


def holds_copies(size_bytes: int, room: Room) -> bool:
    """Whether the page cache can hold the node's copy on the disk, and a tmpfs another, beside one
    process and what was read of the volume; and whether the disk holds both with room to spare."""
    return (
        room.memory_bytes >= 4 * size_bytes + _MARGIN_BYTES
        and room.disk_bytes >= 3 * size_bytes + _MARGIN_BYTES
    )


def needed_bytes(size_bytes: int, checkpoints: int) -> int:
    """Memory for so many in the page cache or on a tmpfs, beside one process that has it."""
    return (checkpoints + 1) * size_bytes + _MARGIN_BYTES


def together(size_bytes: int, room: Room, *, tmpfs: bool) -> int:
    """How many checkpoints of so much memory, two at most, can lie in the page cache or on a
    tmpfs beside one process that has it."""
    for count in (2, 1):
        on_disk = 0 if tmpfs else count
        if (
            room.memory_bytes >= needed_bytes(size_bytes, count)
            and room.disk_bytes >= on_disk * size_bytes + _MARGIN_BYTES
        ):
            return count
    return 0
