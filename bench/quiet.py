"""Waiting, for a bounded time, until nobody else uses the machine's cores."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MOST_SECONDS: Final = 6.0
_LOOK_SECONDS: Final = 0.25
_IDLE_SHARE: Final = 0.9
_IDLE, _IOWAIT = 3, 4


def wait() -> None:
    """Write back what others wrote, then return at the first quiet moment, or after 6 s."""
    os.sync()
    deadline = time.monotonic() + _MOST_SECONDS
    before = _ticks()
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        now = _ticks()
        idle, passed = now[0] - before[0], now[1] - before[1]
        if passed and idle / passed >= _IDLE_SHARE:
            return
        before = now


@dataclass
class Pressure:
    """share: of the block's time in which something that wanted to run waited for a core."""

    share: float | None = None


@contextmanager
def pressure() -> Iterator[Pressure]:
    """How disturbed a block was; its share stays None where the kernel does not tell."""
    found = Pressure()
    started, before = time.monotonic(), _waited_seconds()
    yield found
    after = _waited_seconds()
    if before is not None and after is not None:
        found.share = (after - before) / (time.monotonic() - started)


def _waited_seconds() -> float | None:
    try:
        line = Path("/proc/pressure/cpu").read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    return int(line.rpartition("total=")[2]) / 1e6


def _ticks() -> tuple[int, int]:
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[_IDLE] + fields[_IOWAIT], sum(fields)
