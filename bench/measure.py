"""One sample: checkpoint a fresh service on one side, kill it, restore it, compare its memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import quiet, workload
from bench.failures import SideFailedError
from bench.side import Checkpointed, Restored, Side


@dataclass(frozen=True, slots=True)
class Sample:
    """answer_seconds: from the start of the restore command to the first HTTP answer."""

    checkpointed: Checkpointed
    restored: Restored
    answer_seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Samples of one side and one size; failure: why there are fewer than asked for."""

    samples: list[Sample]
    failure: str | None = None


def sample(side: Side, size_bytes: int, program: Path) -> Sample:
    """One sample; raises SideFailedError, also when the memory that came back differs."""
    service = workload.made(size_bytes, program)
    try:
        side.start(service)
        before = service.digest()
        quiet.wait()
        checkpointed = side.checkpoint()
        side.end_source()
        quiet.wait()
        with workload.first_answer(service) as answer:
            restored = side.restore()
        if answer.seconds is None:
            raise SideFailedError("the restored service does not answer")
        if service.digest() != before:
            raise SideFailedError("the restored service is not the one that was checkpointed")
        return Sample(checkpointed, restored, answer.seconds)
    finally:
        side.discard()


def measured(
    sides: Sequence[Side], sizes_bytes: Sequence[int], rounds: int, program: Path
) -> Mapping[tuple[str, int], Measured]:
    """Samples by side and size. Sides alternate, and each round begins with another one."""
    results = {(side.name, size): Measured([]) for side in sides for size in sizes_bytes}
    for size in sizes_bytes:
        for number in range(rounds):
            first = number % len(sides)
            for side in [*sides[first:], *sides[:first]]:
                key = (side.name, size)
                if results[key].failure is None:
                    results[key] = _with_one_more(results[key], side, size, program)
    return results


def _with_one_more(before: Measured, side: Side, size: int, program: Path) -> Measured:
    try:
        return Measured([*before.samples, sample(side, size, program)])
    except SideFailedError as error:
        return Measured(before.samples, str(error))
