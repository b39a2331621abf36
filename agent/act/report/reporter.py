"""Tells the cluster what became of pods, while those who know it go on with their work.

Order is kept for each pod. While the API server is away, conditions wait (the newest of a pod is
the one that counts) and events wait, up to a bound; everything is in the log at once.
"""

import asyncio
import logging
import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from agent.act.report import conditions, events
from agent.act.report.conditions import Condition
from agent.act.report.events import Events, Kind, Said
from agent.plan.pod import PodView
from chrek.kube.api import API
from chrek.kube.errors import APIError
from chrek.logs import event

_log = logging.getLogger("chrek.report")

_MOST_EVENTS: Final = 1000
_FORGOTTEN: Final = timedelta(hours=1)
"""So long the API server keeps an event at most, if nobody set it otherwise."""
_AT_ONCE: Final = 4
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0


@dataclass(slots=True)
class _Line:
    """What waits to be told of one pod."""

    condition: Condition | None = None
    events: deque[Said] = field(default_factory=deque)


class Reporter:
    """Whoever reports is never held up and never fails. lost: reports that nobody will read."""

    def __init__(self, api: API, node: str) -> None:
        self.lost = 0
        self._api = api
        self._events = Events(api, node)
        self._lines: dict[str, _Line] = {}
        self._new: asyncio.Queue[str] = asyncio.Queue()
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._hurry = asyncio.Event()
        self._told_of: set[str] = set()

    def event(self, pod: PodView, kind: Kind, reason: str, message: str) -> None:
        """Have `kubectl describe pod` show this."""
        level = logging.INFO if kind == "Normal" else logging.WARNING
        event(_log, level, "event", pod=_named(pod), reason=reason, message=message)
        said = events.say(pod, kind, reason, message, _now())
        line = self._line(pod)
        same = next((each for each in line.events if each.key == said.key), None)
        if same:
            same.count += 1
            same.last = said.last
        else:
            line.events.append(said)
            self._drop_oldest()

    def condition(self, pod: PodView, *, restored: bool, reason: str, message: str) -> None:
        """Have the pod's condition chrek.io/Restored say this."""
        event(
            _log, logging.INFO, "condition",
            pod=_named(pod), restored=restored, reason=reason, message=message,
        )  # fmt: skip
        self._line(pod).condition = Condition(pod, restored, reason, message, _now())

    async def run(self) -> None:
        """Until cancelled; the API server may come and go."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._tell(await self._new.get()))

    async def drain(self, seconds: float) -> None:
        """Return when all is told, or after so long. `run` may be at work, or have ended."""
        self._hurry.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*map(self._tell, list(self._lines)))
                await self._quiet.wait()
        for uid, line in self._lines.items():
            count = len(line.events) + (line.condition is not None)
            self.lost += count
            event(_log, logging.WARNING, "reports lost", pod_uid=uid, count=count, why="ending")

    def _line(self, pod: PodView) -> _Line:
        if pod.uid not in self._lines:
            self._lines[pod.uid] = _Line()
            self._quiet.clear()
            self._new.put_nowait(pod.uid)
        return self._lines[pod.uid]

    def _drop_oldest(self) -> None:
        lines = [line for line in self._lines.values() if line.events]
        if sum(len(line.events) for line in lines) > _MOST_EVENTS:
            oldest = min(lines, key=lambda line: line.events[0].first)
            self._lose(oldest.events.popleft(), "too many wait")

    async def _tell(self, uid: str) -> None:
        if uid in self._told_of or uid not in self._lines:  # run() and drain() both come by
            return
        self._told_of.add(uid)
        try:
            await self._tell_all(self._lines[uid])
            del self._lines[uid]
        finally:
            self._told_of.discard(uid)
        if not self._lines:
            self._quiet.set()

    async def _tell_all(self, line: _Line) -> None:
        failures = 0
        while line.condition or line.events:
            async with self._few:
                told = await self._tell_condition(line)  # also when the one before it fails
                told = await self._tell_events(line) and told
            failures = 0 if told else failures + 1
            if failures:
                await self._pause(failures)

    async def _tell_condition(self, line: _Line) -> bool:
        """False if it must be tried again."""
        if (wanted := line.condition) is None:
            return True
        try:
            await conditions.write(self._api, wanted)
        except Exception as error:
            if _passing(error):
                return False
            self._lose(wanted, error)
        if line.condition is wanted:  # and no newer one came meanwhile
            line.condition = None
        return True

    async def _tell_events(self, line: _Line) -> bool:
        """False if those that are left must be tried again."""
        while line.events:
            said = line.events.popleft()  # so that nobody counts it up or drops it meanwhile
            try:
                if _now() - said.last > _FORGOTTEN:
                    self._lose(said, "nobody took it for too long")
                else:
                    await self._events.write(said)
            except asyncio.CancelledError:
                line.events.appendleft(said)  # for drain()
                raise
            except Exception as error:
                if _passing(error):
                    line.events.appendleft(said)
                    return False
                self._lose(said, error)
        return True

    def _lose(self, report: Condition | Said, why: object) -> None:
        self.lost += 1
        event(
            _log, logging.WARNING, "report lost",
            pod=_named(report.pod), reason=report.reason, why=why,
        )  # fmt: skip

    async def _pause(self, failures: int) -> None:
        longest = min(_FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_SECONDS)
        seconds = longest * random.uniform(0.5, 1.0)  # noqa: S311
        if self._hurry.is_set():
            await asyncio.sleep(min(seconds, _FIRST_PAUSE_SECONDS))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()


def _passing(error: Exception) -> bool:
    if isinstance(error, APIError) and error.passing:
        event(_log, logging.DEBUG, "report waits", problem=error)
        return True
    return False


def _named(pod: PodView) -> str:
    return f"{pod.namespace}/{pod.name}"


def _now() -> datetime:
    return datetime.now(UTC)
