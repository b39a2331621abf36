"""Phases as bars, one below the other."""

from collections.abc import Iterator, Sequence

from chrek.phases import Span

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


def spans(found: Sequence[Span]) -> Iterator[list[str]]:
    """The same for phases of which is known when they ran, in order of their begin. Seconds are
    with all that a phase has inside, and where something inside runs its bar is thin."""
    whole = max((span.ended for span in found), default=0.0)
    for span in sorted(found, key=lambda span: (span.began, -span.ended)):
        cells = ["."] * _WIDTH
        _draw(cells, span, whole, "#")
        for other in found:
            if other is not span and span.began <= other.began and other.ended <= span.ended:
                _draw(cells, other, whole, "-")
        seconds = span.ended - span.began
        yield [span.phase, f"{span.began:.3f}", f"{seconds:.3f}", "".join(cells)]


def _draw(cells: list[str], span: Span, whole: float, mark: str) -> None:
    first = min(_column(span.began, whole), _WIDTH - 1)
    last = max(_column(span.ended, whole), first + 1)
    cells[first:last] = mark * (last - first)


def _column(seconds: float, whole: float) -> int:
    return round(seconds / whole * _WIDTH) if whole else 0
