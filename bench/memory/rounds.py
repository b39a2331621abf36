"""One checkpoint a side, then restores of it by turns: both sides find the same warm machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import caches, quiet, warm, workload
from bench.bare import Bare
from bench.chrek_side import Chrek
from bench.failures import SideFailedError
from bench.node_side import Node
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


def groups(sides: Sequence[Side], together: int) -> list[list[Side]]:
    """Who takes turns: all, or each alone where not all have room at once."""
    return [list(sides)] if together == len(sides) else [[side] for side in sides]


def found(
    sides: Sequence[Side], case: Case, program: Path, results: dict[str, Found] | None = None
) -> dict[str, Found]:
    """By side; what is known is in `results` at once. Raises SideFailedError, also when the memory
    that came back is not the one that was there."""
    made = [workload.made(case.size_bytes, program, case.data) for _ in sides]
    results = {} if results is None else results
    try:
        pairs = list(zip(sides, made, strict=True))
        before: dict[str, str] = {}
        for side, service in pairs:
            before[side.name], done = checkpointed(side, service)
            results[side.name] = Found(done)
        for number, cache in enumerate(_turns(case)):
            for side, service in pairs if number % 2 else reversed(pairs):
                for count in _threads(side, case, cache):
                    if isinstance(side, Chrek):
                        side.threads = count
                    sample = restored(side, service, before[side.name], cache)
                    results[side.name].restored.setdefault((cache, count), []).append(sample)
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


def checkpointed(side: Side, service: Workload) -> tuple[str, Checkpointed]:
    """Start it, checkpoint it and end it; what its memory was, too."""
    side.start(service)
    digest = service.digest()
    quiet.wait()
    warm.warm(service.size_bytes)
    made = side.checkpoint()
    side.end_source()
    return digest, made


def restored(side: Side, service: Workload, digest: str, cache: Cache) -> Restored:
    """One restore, whose memory must be `digest`; it is ended."""
    if isinstance(side, Node):
        side.cache = cache
    quiet.wait()
    if cache == "disk":
        caches.drop(side.checkpoints)
    warm.warm(service.size_bytes)
    sample = side.restore()
    if service.digest() != digest:
        raise SideFailedError(f"{side.name} restored other memory than was there")
    side.end_restored()
    return sample
