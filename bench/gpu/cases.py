"""One case: start a program cold, capture it, end it, restore it. It must answer as before."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench import caches, figures, quiet, results, warm
from bench.chrek_side import Chrek
from bench.failures import SideFailedError
from bench.gpu import programs
from bench.gpu.programs import Program
from bench.gpu.stock import Stock
from bench.node_side import Node
from bench.results import Cache, Row
from bench.side import Checkpointed, Restored
from bench.workload import Workload

Side = Chrek | Stock
_STOOD: Final = ("cuda-lock", "cuda-checkpoint", "dump", "files-frozen", "cuda-restore")
_OF_GPU: Final = ("cuda-checkpoint", "cuda-restore")
_OF_IMAGE: Final = ("dump", "pages", "copy", "criu")
_GIB: Final = 1 << 30
_TOLD_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True)
class Variant:
    """How a side is used. huge_pages: chrek's CHREK_HUGE_PAGES."""

    name: str
    huge_pages: str = "leave"


VARIANTS: Final = {
    "chrek-always": Variant("chrek", "always"),
    "criu": Variant("criu"),
    "chrek-node": Variant(Node.name, "always"),
    "chrek": Variant("chrek"),
}
"""The most wanted first."""


@dataclass(frozen=True, slots=True)
class How:
    """rounds: restores from each of `cached`."""

    variant: Variant
    cached: Sequence[Cache]
    rounds: int


def measured(side: Side, program: Program, command: Sequence[str], how: How) -> Iterator[Row]:
    """Rows of a cold start, a checkpoint and its restores, each as soon as it is known. command:
    of programs.ready(). Raises SideFailedError."""
    service = programs.made(program, command)
    beside = {"program": program.name, "huge_pages": how.variant.huge_pages}
    if isinstance(side, Chrek):
        side.huge_pages = how.variant.huge_pages
    try:
        began = time.monotonic()
        side.start(service)
        service.wait()
        took = time.monotonic() - began
        yield results.row("cold start", service.size_bytes, side.name, total_seconds=took) | beside
        answer = service.digest()
        sizes, row = _checkpoint(side, service, answer)
        yield row | beside
        for cache in how.cached:
            samples = [_restore(side, service, answer, cache) for _ in range(how.rounds)]
            yield _restored(side, service, samples, sizes, cache) | beside
    except SideFailedError as error:
        said = side.log()[-_TOLD_CHARACTERS:]
        raise SideFailedError(f"{error}\n{said}") from error
    finally:
        side.discard()


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Of a checkpoint."""

    gpu_bytes: int
    image_bytes: int

    def rates(self, phases: dict[str, float]) -> dict[str, float]:
        """GiB/s of each phase that moves bytes."""
        by_phase = dict.fromkeys(_OF_GPU, self.gpu_bytes) | dict.fromkeys(
            _OF_IMAGE, self.image_bytes
        )
        return {
            name: by_phase[name] / seconds / _GIB
            for name, seconds in phases.items()
            if name in by_phase and seconds > 0 and not (name == "criu" and "pages" in phases)
        }


def _checkpoint(side: Side, service: Workload, answer: str) -> tuple[_Sizes, Row]:
    quiet.wait()
    warm.warm(service.size_bytes)
    made: Checkpointed = side.checkpoint()
    if service.digest() != answer:
        raise SideFailedError(f"{side.name}: the source is not what it was")
    sizes = _sizes(side, service)
    row = results.row(
        "checkpoint",
        service.size_bytes,
        side.name,
        phases=made.phases,
        total_seconds=made.seconds,
        frozen_seconds=made.frozen_seconds,
        stood_still_seconds=sum(made.phases.get(name, 0.0) for name in _STOOD),
        gpu_bytes=sizes.gpu_bytes,
        image_bytes=sizes.image_bytes,
        peak_bytes=made.peak_bytes,
        GiB_per_second=sizes.rates(made.phases),
    )
    side.end_source()
    return sizes, row


def _sizes(side: Side, service: Workload) -> _Sizes:
    if isinstance(side, Chrek):
        found = side.manifest()
        on_gpu = sum(each["bytes"] for each in (found["gpu"] or {"processes": []})["processes"])
        return _Sizes(on_gpu, sum(each["size_bytes"] for each in found["files"]))
    images = sum(each.stat().st_size for each in side.checkpoints.iterdir())
    return _Sizes(service.size_bytes, images)


def _restore(side: Side, service: Workload, answer: str, cache: Cache) -> tuple[Restored, float]:
    """And the seconds until the GPU's own answer came."""
    if isinstance(side, Node):
        side.cache = cache
    quiet.wait()
    if cache == "disk":
        caches.drop(side.checkpoints)
    warm.warm(service.size_bytes)
    began = time.monotonic()
    restored = side.restore()
    if service.digest() != answer:
        raise SideFailedError(f"{side.name}: the copy is not what its source was")
    answered = time.monotonic() - began
    side.end_restored()
    return restored, answered


def _restored(
    side: Side,
    service: Workload,
    samples: Sequence[tuple[Restored, float]],
    sizes: _Sizes,
    cache: Cache,
) -> Row:
    seconds = [restored.seconds for restored, _ in samples]
    phases = figures.medians([restored.phases for restored, _ in samples])
    read_from = samples[0][0].read_from
    peaks = [restored.peak_bytes or 0 for restored, _ in samples]
    return results.row(
        "restore",
        service.size_bytes,
        side.name,
        cache=cache,
        phases=phases,
        total_seconds=figures.Spread.of(seconds).median,
        all_seconds=seconds,
        rounds=len(samples),
        first_answer_seconds=figures.Spread.of([answered for _, answered in samples]).median,
        gpu_bytes=sizes.gpu_bytes,
        image_bytes=sizes.image_bytes,
        peak_bytes=max(peaks) or None,
        GiB_per_second=sizes.rates(phases),
        **({"read_from": read_from} if read_from else {}),
    )
