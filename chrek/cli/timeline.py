"""Phases as bars, one below the other as they ended."""

from collections.abc import Iterator

_WIDTH = 40


def bars(phases: dict[str, float]) -> Iterator[list[str]]:
    """Rows of a table: phase, when it began, seconds, bar. A phase that has others inside counts
    only its own time, and stands behind them: together they are the time of the whole."""
    whole = sum(phases.values())
    began = 0.0
    for name, seconds in phases.items():
        first = _column(began, whole)
        length = max(_column(began + seconds, whole) - first, 1)
        bar = "." * min(first, _WIDTH - 1) + "#" * length
        yield [name, f"{began:.3f}", f"{seconds:.3f}", f"{bar:.<{_WIDTH}}"]
        began += seconds


def _column(seconds: float, whole: float) -> int:
    return round(seconds / whole * _WIDTH) if whole else 0
