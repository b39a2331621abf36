"""Pace: how long to wait after failures, and when one's own work is undone again and again."""

from typing import Final

_FIRST_SECONDS: Final = 0.25
_MOST_SECONDS: Final = 30.0
_WINDOW_SECONDS: Final = 60.0
_FREE_WRITES: Final = 4
_STEPS: Final = 8


class Pace:
    """Failures in a row double the wait. So do writes within a minute, after the few that a
    change of CA takes: whoever overwrites what chrek writes is met, but never in a race.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._writes: list[float] = []

    def failed(self) -> float:
        """Seconds to wait."""
        self._failures += 1
        return _doubled(self._failures)

    def went_well(self, *, wrote: bool, at_seconds: float) -> float:
        """Seconds to wait before anything else."""
        self._failures = 0
        self._writes = [at for at in self._writes if at_seconds - at < _WINDOW_SECONDS]
        if not wrote:
            return 0.0
        self._writes.append(at_seconds)
        return _doubled(max(0, len(self._writes) - _FREE_WRITES))


def _doubled(times: int) -> float:
    steps: int = 2 ** min(times - 1, _STEPS) if times else 0
    return min(_MOST_SECONDS, _FIRST_SECONDS * steps)
