"""What is measured, and what this machine has no room for. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.memory.rounds import Case
from bench.results import Cache

_MARGIN_BYTES: Final = 1 << 30
_STAGED: Final = 2
"""So many times a checkpoint takes its size while it is packed."""
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
    """From the smallest. Of what is not random only the page cache is measured; large sizes have
    fewer rounds."""
    files: list[Cache] = [each for each in cached if each != "tmpfs"]
    memory: list[Cache] = [each for each in cached if each == "tmpfs"]
    for size in sorted(set(sizes_bytes)):
        fewer = max(rounds - sum(size >= each for each in _FEWER_ROUNDS), 1)
        for kind in data:
            for places in (files, memory) if kind == "random" else (files[:1],):
                if places:
                    case = Case(size, kind, places, fewer)
                    yield Planned(case, _together(size, room, tmpfs=places == ["tmpfs"]))


def swept(every: Sequence[Planned], threads: Sequence[int]) -> list[Planned]:
    """With so many threads beside chrek's own choice at the largest size of random bytes at which
    sides take turns."""
    for number in range(len(every) - 1, -1, -1):
        each = every[number]
        if each.sides > 1 and each.case.data == "random" and each.case.cached[0] == "page":
            case = replace(each.case, threads=(0, *threads))
            return [*every[:number], replace(each, case=case), *every[number + 1 :]]
    return list(every)


def _together(size_bytes: int, room: Room, *, tmpfs: bool) -> int:
    """How many checkpoints of so much memory, two at most, can lie in the page cache or on a
    tmpfs beside one process that has it."""
    for count in (2, 1):
        held = 1 + (count + _STAGED - 1 if tmpfs else count)
        on_disk = 0 if tmpfs else count + _STAGED - 1
        if (
            room.memory_bytes >= held * size_bytes + _MARGIN_BYTES
            and room.disk_bytes >= on_disk * size_bytes + _MARGIN_BYTES
        ):
            return count
    return 0
