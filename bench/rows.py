"""The figures as JSON: one row for a side, a size and what was done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench import figures
from bench.figures import Spread
from bench.measure import Measured, Sample
from bench.results import Row, row

_BASE = "criu"

_CASES: dict[str, tuple[str, Callable[[Sample], dict[str, float]]]] = {
    "checkpoint": ("checkpoint, wall", lambda sample: sample.checkpointed.phases),
    "restore": ("restore, wall", lambda sample: sample.restored.phases),
}
_BESIDE = {"checkpoint": "source frozen", "restore": "restore, first answer"}
_KEYS = {"source frozen": "frozen_seconds", "restore, first answer": "first_answer_seconds"}


def rows(
    results: Mapping[tuple[str, int], Measured],
    absent: Mapping[str, str],
    sizes_bytes: Sequence[int],
) -> list[Row]:
    """Every key of a row that ends in _seconds is in seconds; medians, unless named."""
    made = [
        _row(case, name, size, measured, results.get((_BASE, size)))
        for (name, size), measured in results.items()
        for case in _CASES
    ]
    made += [
        row(case, size, name, failure=why)
        for name, why in absent.items()
        for size in sizes_bytes
        for case in _CASES
    ]
    return made


def _row(case: str, name: str, size: int, measured: Measured, base: Measured | None) -> Row:
    label, phases = _CASES[case]
    samples = measured.samples
    made = row(
        case,
        size,
        name,
        phases=figures.medians([phases(sample) for sample in samples]),
        total_seconds=_median(samples, label),
        rounds=len(samples),
        failure=measured.failure,
        spreads={
            "total_seconds": _spread(samples, label),
            _KEYS[_BESIDE[case]]: _spread(samples, _BESIDE[case]),
        },
        ratio_to_criu={
            metric: _quotient(samples, base.samples if base else [], metric)
            for metric in (label, _BESIDE[case])
        },
    )
    made[_KEYS[_BESIDE[case]]] = _median(samples, _BESIDE[case])
    if case == "restore" and samples and samples[0].restored.inner_seconds is not None:
        made["parts"] = {
            part: asdict(Spread.of([metric(sample) for sample in samples]))
            for part, metric in figures.RESTORE_PARTS.items()
        }
    return made


def _median(samples: Sequence[Sample], label: str) -> float | None:
    metric = figures.COMPARED[label]
    return Spread.of([metric(sample) for sample in samples]).median if samples else None


def _spread(samples: Sequence[Sample], label: str) -> dict[str, Any] | None:
    if not samples:
        return None
    values = [figures.COMPARED[label](sample) for sample in samples]
    return asdict(Spread.of(values)) | {"all": values}


def _quotient(ours: Sequence[Sample], base: Sequence[Sample], label: str) -> float | None:
    mine, other = _median(ours, label), _median(base, label)
    return mine / other if mine is not None and other is not None else None
