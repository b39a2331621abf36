"""The memory of a tree of processes that stands still, seen from outside."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.machine.conftest import wait_for
from tests.survival.lives import PROGRAMS, Life

OWN_PROGRAMS = PROGRAMS.parents[1] / "pages" / "programs"
_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+\s*(.*)")
_PIECE = 1 << 20
_UNIT = 64 << 10
# What the kernel writes by itself: the number of a CPU (rseq), in a thread's own small mapping.
_KERNELS_BYTES = 256 << 10


@dataclass(frozen=True)
class Mapping:
    """As /proc/PID/maps has it. digest: of all of its bytes."""

    start: int
    end: int
    rights: str
    digest: str


def still(life: Life) -> None:
    """Wait until all of it has stopped."""
    wait_for(lambda: all(each.state == "T" for each in life.processes), "all of it to stop")


def of_tree(life: Life) -> dict[int, list[Mapping]]:
    """By PID in the container."""
    return {each.pid: list(_mappings(each.host_pid)) for each in life.processes}


def anonymous_bytes(life: Life) -> int:
    """Private memory that is there, what several share counted once."""
    total = 0
    for each in life.processes:
        text = Path(f"/proc/{each.host_pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss_Anon:\s+(\d+) kB", text, re.MULTILINE)
        assert found is not None
        total += int(found[1]) << 10
    return total


def zero_bytes(life: Life) -> int:
    """Of private memory without a file, whole pages of zeroes in pieces of 64 KiB: a restore leaves
    them out. As much as that may be missing."""
    total = 0
    for each in life.processes:
        for start, end, rights, name in _lines(each.host_pid):
            if rights[1:] == "w-p" and not name:
                pieces = _pieces(each.host_pid, start, end, _UNIT)
                total += sum(len(piece) for piece in pieces if not piece.strip(b"\0"))
    return total


def _mappings(pid: int) -> Iterator[Mapping]:
    for start, end, rights, name in _joined(pid):
        if name.startswith("[v") or (end - start < _KERNELS_BYTES and name != "[heap]"):
            continue
        digest = hashlib.blake2b()
        for piece in _pieces(pid, start, end, _PIECE):
            digest.update(piece)
        yield Mapping(start, end, rights, digest.hexdigest())


def _joined(pid: int) -> Iterator[tuple[int, int, str, str]]:
    """Neighbours of one kind as one: whether the kernel joins them depends on how they came."""
    before: tuple[int, int, str, str] | None = None
    for start, end, rights, name in _lines(pid):
        if before and before[1:] == (start, rights, name):
            before = (before[0], end, rights, name)
            continue
        if before:
            yield before
        before = (start, end, rights, name)
    if before:
        yield before


def _lines(pid: int) -> Iterator[tuple[int, int, str, str]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = _LINE.fullmatch(line)
        assert found is not None, line
        yield int(found[1], 16), int(found[2], 16), found[3], found[4]


def _pieces(pid: int, start: int, end: int, size: int) -> Iterator[bytes]:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for at in range(start, end, size):
            memory.seek(at)
            yield memory.read(min(size, end - at))
