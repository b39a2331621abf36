"""One checkpoint a side, then restores of it by turns: both sides find the same warm machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import quiet, warm, workload
from bench.bare import Bare
from bench.chrek_side import Chrek
from bench.failures import SideFailedError
from bench.side import Checkpointed, Restored
from bench.workload import Workload

Side = Bare | Chrek


@dataclass(frozen=True, slots=True)
class Case:
    """What is restored. threads: chrek's; 0: as many as cores."""

    size_bytes: int
    data: str


@dataclass(frozen=True, slots=True)
class Found:
    """Of one side. restored: by the number of threads."""

    checkpointed: Checkpointed
    restored: dict[int, list[Restored]]


def found(
    sides: Sequence[Side], case: Case, rounds: int, threads: Sequence[int], program: Path
) -> dict[str, Found]:
    """By side. threads: what chrek is tried with, each in every round; bare CRIU has one. Raises
    SideFailedError, also when the memory that came back is not the one that was there."""
    made = [workload.made(case.size_bytes, program, case.data) for _ in sides]
    results: dict[str, Found] = {}
    try:
        before = {
            side.name: _checkpointed(side, service, results)
            for side, service in zip(sides, made, strict=True)
        }
        for number in range(rounds):
            pairs = list(zip(sides, made, strict=True))
            for side, service in pairs if number % 2 else reversed(pairs):
                for count in threads if isinstance(side, Chrek) else [0]:
                    if isinstance(side, Chrek):
                        side.threads = count
                    restored = _restored(side, service, before[side.name])
                    results[side.name].restored.setdefault(count, []).append(restored)
    finally:
        for side in sides:
            side.discard()
    return results


def _checkpointed(side: Side, service: Workload, results: dict[str, Found]) -> str:
    side.start(service)
    digest = service.digest()
    quiet.wait()
    results[side.name] = Found(side.checkpoint(), {})
    side.end_source()
    return digest


def _restored(side: Side, service: Workload, digest: str) -> Restored:
    quiet.wait()
    warm.warm(service.size_bytes)
    restored = side.restore()
    if service.digest() != digest:
        raise SideFailedError(f"{side.name} restored other memory than was there")
    side.end_restored()
    return restored
