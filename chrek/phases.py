"""The one way time is measured: `with phase("dump"):` feeds the log and the result.

Phases nest, and each counts only its own time: the sum of all is the time of the whole.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_log = logging.getLogger("chrek.phase")
_recorded: ContextVar["Recorded | None"] = ContextVar("recorded", default=None)
_of: ContextVar[str] = ContextVar("of", default="")
_nested: ContextVar[list[float] | None] = ContextVar("nested", default=None)


@dataclass(frozen=True, slots=True)
class Span:
    """One time that a phase ran, with all that was inside: seconds since the recording began."""

    phase: str
    began: float
    ended: float


class Recorded(dict[str, float]):
    """Seconds of every phase by name, in order of their end. spans: when each of them ran."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []
        self._began = time.monotonic()

    def add(self, name: str, started: float, took: float, own: float) -> None:
        """One that ends now. started: on the monotonic clock."""
        began = started - self._began
        self.spans.append(Span(name, began, began + took))
        self[name] = self.get(name, 0.0) + own


@contextmanager
def recording(of: str = "") -> Iterator[Recorded]:
    """Collect every phase that ends inside. of: whose they are, for the log: several may be at work
    at once."""
    seconds = Recorded()
    token, told = _recorded.set(seconds), _of.set(of)
    try:
        yield seconds
    finally:
        _recorded.reset(token)
        _of.reset(told)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Measure one phase, less the phases inside it; a name that occurs twice adds up."""
    outer = _nested.get()
    inner: list[float] = []
    token = _nested.set(inner)
    started = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - started
        _nested.reset(token)
        if outer is not None:
            outer.append(took)
        own = took - sum(inner)
        seconds = _recorded.get()
        if seconds is not None:
            seconds.add(name, started, took, own)
        whose = {"of": _of.get()} if _of.get() else {}
        _log.info("phase", extra={"fields": {**whose, "phase": name, "seconds": round(own, 4)}})
