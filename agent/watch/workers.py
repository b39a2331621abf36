"""One serial worker a key: it is called after each change, once for many; the newest state wins."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chrek.logs import event

_log = logging.getLogger("chrek.workers")
_AFTER_A_FAULT_SECONDS = 5.0

Handle = Callable[[str], Awaitable[float | None]]
"""Looks at one key. Gives the seconds after which it wants to look again, None for when something
changes, and raises GoneError once there is nothing to look at any more."""


class GoneError(Exception):
    """The key is gone; its worker ends."""


@dataclass(slots=True)
class _Worker:
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


class Workers:
    """Workers of one group of tasks, which ends them."""

    def __init__(self, handle: Handle, group: asyncio.TaskGroup) -> None:
        self._handle = handle
        self._group = group
        self._workers: dict[str, _Worker] = {}

    def wake(self, key: str) -> None:
        """Have `key` looked at, now or when its worker is done with what it does."""
        worker = self._workers.get(key)
        if worker is None:
            worker = self._workers[key] = _Worker()
            worker.task = self._group.create_task(self._work(key, worker), name=f"worker {key}")
        worker.changed.set()

    def keys(self) -> list[str]:
        """Who has a worker."""
        return list(self._workers)

    async def _work(self, key: str, worker: _Worker) -> None:
        pause_seconds: float | None = None
        while True:
            try:
                async with asyncio.timeout(pause_seconds):
                    await worker.changed.wait()
            except TimeoutError:
                pass  # what it wanted to look at again
            worker.changed.clear()
            try:
                pause_seconds = await self._handle(key)
            except GoneError:
                if not worker.changed.is_set():
                    del self._workers[key]
                    return
            except Exception as error:  # one pod's trouble is not the others'
                event(_log, logging.ERROR, "worker failed", key=key, problem=repr(error))
                _log.debug("its trace", exc_info=error)
                pause_seconds = _AFTER_A_FAULT_SECONDS
