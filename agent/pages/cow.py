"""Pages that a child may still share with its parent, copy-on-write.

CRIU gives them to the parent before that forks, and leaves a child those that are equal in both.
Images do not say which are shared: equal pages in a mapping that CRIU takes for inherited are.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from agent.kernel import workers
from agent.kernel.memory import PAGE_BYTES, Buffer, same
from agent.pages.areas import Area
from agent.pages.choice import Interval
from agent.pages.dumped import Dumped, Task
from agent.pages.pagemap import Run
from chrek.errors import DamagedError

_PIECE_BYTES: Final = 1 << 20
_LEAST_BYTES: Final = 1 << 20
"""Smaller mappings stay with CRIU anyway."""


class _Pair(NamedTuple):
    """A range that two processes have in the same place: its address, its files, offsets, size."""

    address: int
    parent: tuple[int, int, int]
    child: tuple[int, int, int]
    size: int


def shared(
    dumped: Dumped, files: Mapping[int, int], count: int, stop: threading.Event
) -> dict[int, list[Interval]]:
    """By PID, what stays with CRIU for that reason, sorted. files: by number, descriptors of
    `pages-N.img`."""
    found: dict[int, list[Interval]] = {}
    adding = threading.Lock()

    def begin() -> Callable[[_Pair], None]:
        buffers = Buffer(_PIECE_BYTES), Buffer(_PIECE_BYTES)

        def one(pair: _Pair) -> None:
            for side, buffer in zip((pair.parent, pair.child), buffers, strict=True):
                _, number, offset = side
                if not buffer.fill(files[number], pair.size, offset):
                    raise DamagedError("CRIU's pages are fewer than it says")
            equal = joined(list(_equal(pair, buffers[0].address, buffers[1].address)))
            with adding:
                for side in (pair.parent, pair.child):
                    found.setdefault(side[0], []).extend(equal)

        return one

    workers.spread(_pairs(dumped), count, stop, begin)
    return {pid: joined(intervals) for pid, intervals in found.items()}


def joined(intervals: Sequence[Interval]) -> list[Interval]:
    """Sorted, and those that touch each other as one."""
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def _pairs(dumped: Dumped) -> Iterator[_Pair]:
    for child in dumped.tasks.values():
        parent = dumped.tasks.get(child.parent)
        if parent is None:
            continue
        for area in child.areas.all:
            before = parent.areas.at(area.start)
            if before is None or area.size_bytes < _LEAST_BYTES or not area.inherited(before):
                continue
            if area.private or before.private:
                yield from _in_area(area, parent, child)


def _in_area(area: Area, parent: Task, child: Task) -> Iterator[_Pair]:
    theirs, own = _within(parent.pages.runs, area), _within(child.pages.runs, area)
    first = second = 0
    while first < len(theirs) and second < len(own):
        one, other = theirs[first], own[second]
        start, end = max(one.address, other.address), min(one.end, other.end)
        for at in range(start, end, _PIECE_BYTES):
            yield _Pair(
                at,
                (parent.pid, parent.pages.number, one.offset + at - one.address),
                (child.pid, child.pages.number, other.offset + at - other.address),
                min(_PIECE_BYTES, end - at),
            )
        if one.end <= other.end:
            first += 1
        else:
            second += 1


def _within(runs: Sequence[Run], area: Area) -> list[Run]:
    first = max(bisect_left(runs, (area.start,)) - 1, 0)
    found: list[Run] = []
    for run in runs[first:]:
        if run.address >= area.end:
            break
        start, end = max(run.address, area.start), min(run.end, area.end)
        if start < end:
            found.append(Run(start, run.offset + start - run.address, end - start, run.flags))
    return found


def _equal(pair: _Pair, first: int, second: int) -> Iterator[Interval]:
    if same(first, second, pair.size):
        yield pair.address, pair.address + pair.size
        return
    for at in range(0, pair.size, PAGE_BYTES):
        if same(first + at, second + at, PAGE_BYTES):
            yield pair.address + at, pair.address + at + PAGE_BYTES
