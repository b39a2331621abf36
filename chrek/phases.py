"""The one way time is measured: `with phase("dump"):` feeds the log and the result.

Phases nest, and each counts only its own time: the sum of all is the time of the whole.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_log = logging.getLogger("chrek.phase")
_recorded: ContextVar[dict[str, float] | None] = ContextVar("recorded", default=None)
_of: ContextVar[str] = ContextVar("of", default="")
_nested: ContextVar[list[float] | None] = ContextVar("nested", default=None)


@contextmanager
def recording(of: str = "") -> Iterator[dict[str, float]]:
    """Collect the seconds of every phase that ends inside, by name, in order of their end. of:
    whose they are, for the log: several may be at work at once."""
    seconds: dict[str, float] = {}
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
            seconds[name] = seconds.get(name, 0.0) + own
        whose = {"of": _of.get()} if _of.get() else {}
        _log.info("phase", extra={"fields": {**whose, "phase": name, "seconds": round(own, 4)}})
