"""What a run does, the most wanted first: its budget cuts the least wanted. Pure.

Memory of a process without a GPU comes first, up to 32 GiB; then the largest program, by every side
but the last; then more memory; then that program by the last side, and all other programs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.gpu import cases
from bench.gpu.programs import Program
from bench.results import Cache

_GIB: Final = 1 << 30
_MUCH_BYTES: Final = 32 * _GIB
_OF_PROGRAM: Final = {"chrek": (15, 3.2), "criu": (12, 2.8), "chrek node": (20, 4.5)}
_OF_MEMORY: Final = {"chrek": (8, 1.0), "criu": (8, 1.6)}
_BY_ONE_THREAD: Final = (4, 0.7)
"""Seconds that a side needs for a program, and for each GiB of it, or for one more restore with one
thread: a little more than on 16 cores with an H200."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Random bytes of a process without a GPU, by bare CRIU and by chrek. threads: what chrek is
    tried with beside its own choice."""

    size_bytes: int
    threads: Sequence[int] = ()

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.size_bytes / _GIB:.4g} GiB without a GPU"

    def seconds(self, sides: Sequence[str]) -> float:
        """About so long these sides take."""
        size = self.size_bytes / _GIB
        tried = sum(_linear(_BY_ONE_THREAD, size / count) for count in self.threads)
        return sum(_linear(_OF_MEMORY[each], size) for each in sides) + (
            tried if "chrek" in sides else 0.0
        )


@dataclass(frozen=True, slots=True)
class OnGPU:
    """A program, captured and restored by one side. side: of cases.VARIANTS. cached: from where it
    is restored; where that is a tmpfs, the checkpoint is made there."""

    program: Program
    side: str
    cached: Sequence[Cache]

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.program.name}, {self.side}"

    @property
    def seconds(self) -> float:
        """About so long it takes, with one restore."""
        system = cases.VARIANTS[self.side].name
        return _linear(_OF_PROGRAM[system], self.program.size_bytes / _GIB)


Step = Memory | OnGPU


def ordered(
    programs: Sequence[Program],
    sides: Sequence[str],
    cached: Sequence[Cache],
    memory_bytes: Sequence[int],
    threads: Sequence[int],
) -> list[Step]:
    """programs: the smallest first. sides: the most wanted first. threads: for the least memory."""
    sizes = sorted(set(memory_bytes))
    memory = [Memory(size, threads if size == sizes[0] else ()) for size in sizes]
    files: list[Cache] = [each for each in cached if each != "tmpfs"]
    some, much = _split(memory)
    steps: list[Step] = [*some]
    if programs and files:
        *others, largest = programs
        *wanted, last = (OnGPU(largest, side, files) for side in sides)
        rest = (OnGPU(each, side, files) for each in others for side in sides)
        steps += [*wanted, *much, last, *rest]
    else:
        steps += much
    if "tmpfs" in cached:
        alone = [side for side in sides if cases.VARIANTS[side].name != "chrek node"]
        steps += [OnGPU(each, side, ["tmpfs"]) for each in programs for side in alone]
    return steps


def _split(memory: Sequence[Memory]) -> tuple[list[Memory], list[Memory]]:
    some = [each for each in memory if each.size_bytes <= _MUCH_BYTES]
    return some, [each for each in memory if each.size_bytes > _MUCH_BYTES]


def _linear(seconds: tuple[float, float], size: float) -> float:
    return seconds[0] + seconds[1] * size
