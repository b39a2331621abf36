"""Which pages leave CRIU's images. Pure.

What stays: pages of mappings that cannot be filled from outside (read-only, growing stacks), pages
that a child may still share with its parent, and what is too small to be worth it.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from agent.kernel.memory import PAGE_BYTES
from agent.pages.areas import HUGE_BYTES, Area, Areas
from agent.pages.dumped import Dumped, Task
from agent.pages.pagemap import PageMap, Run

LEAST_BYTES: Final = 16 << 20
"""Less than this stays where it is."""
_LEAST_OF_AREA_BYTES: Final = 1 << 20
_LEAST_SHARE: Final = 4
"""What leaves is at least this part of an image: the rest of it is copied."""
_MOST_PIECES: Final = 1 << 17
_PRESENT_OF_100: Final = 96
"""So many pages of a mapping are there, if it is given huge ones: they fill its gaps."""

Interval = tuple[int, int]
"""Addresses from, to."""


class Piece(NamedTuple):
    """Pages that leave. address: as the image has it; offset: in its file; there: where they are
    written to. droppable: where nothing is written, it reads as zero."""

    address: int
    offset: int
    size: int
    there: int
    droppable: bool


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves one `pages-N.img`. pagemap: the image that describes it. pid: the process that
    they are written to. huge: starts of mappings for which huge pages are asked."""

    pagemap: str
    pages: PageMap
    pid: int
    shared: bool
    pieces: list[Piece]
    huge: list[int] = field(default_factory=list)

    @property
    def kept(self) -> list[Run]:
        """The runs that stay."""
        gone = [(piece.address, piece.address + piece.size) for piece in self.pieces]
        return without(self.pages.runs, sorted(gone))


def of_task(task: Task, kept: Sequence[Interval]) -> Leaving | None:
    """What leaves a process's own image. kept: what stays in any case, sorted."""
    by_area: dict[Area, list[Run]] = defaultdict(list)
    present: dict[Area, int] = defaultdict(int)
    for area, run in _cut(task.pages.runs, task.areas):
        present[area] += run.size
    for area, run in _cut(without(task.pages.runs, kept), task.areas):
        if area.private:
            by_area[area].append(run)
    pieces: list[Piece] = []
    huge: list[int] = []
    for area, runs in by_area.items():
        size = sum(run.size for run in runs)
        if size < _LEAST_OF_AREA_BYTES:
            continue
        pieces += [Piece(*run[:3], run.address, area.anonymous) for run in runs]
        full = present[area] * 100 >= area.size_bytes * _PRESENT_OF_100
        if task.areas.huge_pages and area.advisable and full and size >= HUGE_BYTES:
            huge.append(area.start)
    name = f"pagemap-{task.pid}.img"
    return _worthwhile(Leaving(name, task.pages, task.pid, False, pieces, huge))


def of_shared(dumped: Dumped, number: int) -> Leaving | None:
    """What leaves the image of memory that processes share: what one of them can write to."""
    pages = dumped.shared[number]
    best: tuple[int, int, list[Piece]] = (0, 0, [])
    for task in dumped.tasks.values():
        mapped = [area for area in task.areas.all if dumped.shared_of(area) == number]
        pieces = list(_through(pages.runs, mapped)) if mapped else []
        size = sum(piece.size for piece in pieces)
        if size > best[0]:
            best = (size, task.pid, pieces)
    name = f"pagemap-shmem-{number}.img"
    return _worthwhile(Leaving(name, pages, best[1], True, best[2]))


def without(runs: Sequence[Run], gone: Sequence[Interval]) -> list[Run]:
    """`runs` less the intervals; both sorted, and none overlaps another of its kind."""
    left: list[Run] = []
    starts = [start for start, _ in gone]
    for run in runs:
        number = max(bisect_left(starts, run.address) - 1, 0)
        at = run.address
        while at < run.end and number < len(gone) and gone[number][0] < run.end:
            start, end = gone[number]
            if end > at:
                if start > at:
                    left.append(_part(run, at, start))
                at = max(at, end)
            number += 1
        if at < run.end:
            left.append(_part(run, at, run.end))
    return left


def _part(run: Run, start: int, end: int) -> Run:
    return Run(start, run.offset + start - run.address, end - start, run.flags)


def _cut(runs: Sequence[Run], areas: Areas) -> Iterator[tuple[Area, Run]]:
    """Each run in pieces that are in one mapping."""
    for run in runs:
        at = run.address
        while at < run.end and (area := areas.at(at)) is not None:
            end = min(run.end, area.end)
            yield area, _part(run, at, end)
            at = end


def _through(runs: Sequence[Run], mapped: Sequence[Area]) -> Iterator[Piece]:
    """Shared memory is written through mappings of it; each page once."""
    done = 0
    for area in sorted(mapped, key=lambda area: area.offset):
        start, end = max(area.offset, done), area.offset + area.size_bytes
        for run in runs:
            first, last = max(run.address, start), min(run.end, end)
            if first < last:
                part = _part(run, first, last)
                yield Piece(*part[:3], area.start + first - area.offset, False)
        done = max(done, end)


def _worthwhile(leaving: Leaving) -> Leaving | None:
    pieces, least = leaving.pieces, PAGE_BYTES
    while len(pieces) > _MOST_PIECES:
        least *= 2
        pieces = [piece for piece in pieces if piece.size >= least]
    size = sum(piece.size for piece in pieces)
    if size < max(LEAST_BYTES, leaving.pages.size_bytes // _LEAST_SHARE):
        return None
    pieces = sorted(pieces, key=lambda piece: piece.offset)
    return Leaving(
        leaving.pagemap, leaving.pages, leaving.pid, leaving.shared, pieces, leaving.huge
    )
