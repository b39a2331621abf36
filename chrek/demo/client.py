"""Asking the service over HTTP: until it is ready, and all the time while it is captured."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from chrek.errors import ChrekError

PORT = 8000
_POLL_SECONDS = 0.01
_QUESTION = "what was frozen?"


class NoAnswerError(ChrekError):
    """The service did not answer in time."""

    reason = "DemoNoAnswer"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one replica said: `session` exists only in the memory of the warmed process."""

    session: str
    answer: str


@dataclass
class Gaps:
    """What a client that asks without pause saw. longest_seconds: between two answers."""

    answers: int = 0
    failures: int = 0
    longest_seconds: float = 0.0
    _last: float = field(default_factory=time.monotonic)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def more(self, count: int) -> None:
        """Wait for `count` more answers."""
        wanted = self.answers + count
        async with self._more:
            await self._more.wait_for(lambda: self.answers >= wanted)

    async def answered(self) -> None:
        """Note one answer."""
        now = time.monotonic()
        self.longest_seconds = max(self.longest_seconds, now - self._last)
        self._last = now
        async with self._more:
            self.answers += 1
            self._more.notify_all()


async def ready(address: str, timeout_seconds: float, runs: Callable[[], None]) -> Answer:
    """The first answer of the service at `address`; raises NoAnswerError, or what `runs` raises
    once there is nothing more to wait for."""
    deadline = time.monotonic() + timeout_seconds
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            try:
                return await _ask(session, address)
            except (aiohttp.ClientError, TimeoutError):
                runs()
                await asyncio.sleep(_POLL_SECONDS)
    raise NoAnswerError(f"the service at {address}:{PORT} gave no answer", hint="See its log")


@asynccontextmanager
async def asking(address: str) -> AsyncIterator[Gaps]:
    """Ask without pause while the block runs."""
    gaps = Gaps()
    task = asyncio.create_task(_ask_on(address, gaps))
    try:
        yield gaps
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ask_on(address: str, gaps: Gaps) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                await _ask(session, address)
            except (aiohttp.ClientError, TimeoutError):
                gaps.failures += 1
                await asyncio.sleep(_POLL_SECONDS)
            else:
                await gaps.answered()


async def _ask(session: aiohttp.ClientSession, address: str) -> Answer:
    url = f"http://{address}:{PORT}/ask"
    timeout = aiohttp.ClientTimeout(total=30)
    async with session.get(url, params={"q": _QUESTION}, timeout=timeout) as response:
        response.raise_for_status()
        body = await response.json()
    return Answer(session=body["session"], answer=body["answer"])
