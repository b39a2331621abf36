"""One checkpoint a side, then restores of it by turns: both sides find the same warm machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import caches, quiet, warm, workload
from bench.bare import Bare
from bench.chrek_side import Chrek
from bench.failures import SideFailedError
from bench.results import Cache
from bench.side import Checkpointed, Restored
from bench.workload import Workload

Side = Bare | Chrek


@dataclass(frozen=True, slots=True)
class Case:
    """What is restored, and from where. threads: what chrek is tried with, 0 is its own choice;
    bare CRIU has one. rounds: restores of each kind from the first cache; one from the others."""

    size_bytes: int
    data: str
    cached: Sequence[Cache]
    rounds: int
    threads: Sequence[int] = (0,)


@dataclass(frozen=True, slots=True)
class Found:
    """Of one side. restored: by cache and number of threads."""

    checkpointed: Checkpointed
    restored: dict[tuple[Cache, int], list[Restored]] = field(default_factory=dict)


def found(sides: Sequence[Side], case: Case, program: Path) -> dict[str, Found]:
    """By side. Raises SideFailedError, also when the memory that came back is not the one that was
    there."""
    made = [workload.made(case.size_bytes, program, case.data) for _ in sides]
    results: dict[str, Found] = {}
    try:
        before = {
            side.name: _checkpointed(side, service, results)
            for side, service in zip(sides, made, strict=True)
        }
        pairs = list(zip(sides, made, strict=True))
        for number, cache in enumerate(_turns(case)):
            for side, service in pairs if number % 2 else reversed(pairs):
                for count in _threads(side, case, cache):
                    if isinstance(side, Chrek):
                        side.threads = count
                    restored = _restored(side, service, before[side.name], cache)
                    results[side.name].restored.setdefault((cache, count), []).append(restored)
    finally:
        for side in sides:
            side.discard()
    return results


def _turns(case: Case) -> list[Cache]:
    """One after the other: what is read from disk is in the page cache then."""
    first, *others = case.cached
    return [first] * case.rounds + others


def _threads(side: Side, case: Case, cache: Cache) -> Sequence[int]:
    if isinstance(side, Bare):
        return (0,)
    return case.threads if cache == case.cached[0] else (0,)


def _checkpointed(side: Side, service: Workload, results: dict[str, Found]) -> str:
    side.start(service)
    digest = service.digest()
    quiet.wait()
    results[side.name] = Found(side.checkpoint())
    side.end_source()
    return digest


def _restored(side: Side, service: Workload, digest: str, cache: Cache) -> Restored:
    quiet.wait()
    if cache == "disk":
        caches.drop(side.checkpoints)
    warm.warm(service.size_bytes)
    restored = side.restore()
    if service.digest() != digest:
        raise SideFailedError(f"{side.name} restored other memory than was there")
    side.end_restored()
    return restored
