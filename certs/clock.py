"""The clock, and the little chance that keeps replicas from acting in the same instant."""

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Protocol

_CHANCE = random.SystemRandom()


class Clock(Protocol):
    """now: what certificates are compared with. seconds: runs on evenly whatever is done to the
    wall clock; what was observed is measured with it. spread: `seconds`, give or take a quarter.
    """

    def now(self) -> datetime: ...
    def seconds(self) -> float: ...
    def spread(self, seconds: float) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def seconds(self) -> float:
        return time.monotonic()

    def spread(self, seconds: float) -> float:
        return seconds * _CHANCE.uniform(0.75, 1.25)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
