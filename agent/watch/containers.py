"""Containers as the runtime has them now: the kubelet tells the API of a start a second later."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from agent.runtime.cri.errors import CRIError
from agent.runtime.cri.model import Container
from chrek.logs import event

_log = logging.getLogger("chrek.containers")

SOON_SECONDS: Final = 0.05
_LATER_SECONDS: Final = 0.5
_AFTER_A_FAILURE_SECONDS: Final = 1.0


class Runtime(Protocol):
    """What lists containers; raises CRIError."""

    async def containers(self) -> list[Container]: ...


class Containers:
    """The newest container of each name of each pod.

    soon: whether a start is expected, so that it is asked for often. woken: called with the UID
    of each pod of which something is another.
    """

    def __init__(
        self, runtime: Runtime, soon: Callable[[], bool], woken: Callable[[str], None]
    ) -> None:
        self.problem = "not asked yet"
        self._runtime = runtime
        self._soon = soon
        self._woken = woken
        self._found: dict[str, dict[str, Container]] = {}

    def of(self, uid: str, name: str) -> Container | None:
        """The newest container `name` of a pod, in any state."""
        return self._found.get(uid, {}).get(name)

    async def run(self) -> None:
        """Until cancelled; the runtime may come and go."""
        while True:
            try:
                self._take(await self._runtime.containers())
            except CRIError as error:
                if self.problem != error.message:
                    event(_log, logging.WARNING, error.reason, problem=error)
                self.problem = error.message
                await asyncio.sleep(_AFTER_A_FAILURE_SECONDS)
                continue
            if self.problem:
                event(_log, logging.INFO, "runtime answers")
            self.problem = ""
            await asyncio.sleep(SOON_SECONDS if self._soon() else _LATER_SECONDS)

    def _take(self, listed: list[Container]) -> None:
        found: dict[str, dict[str, Container]] = {}
        for one in listed:
            names = found.setdefault(one.pod_uid, {})
            other = names.get(one.name)
            if other is None or _rank(other) < _rank(one):
                names[one.name] = one
        before, self._found = self._found, found
        for uid in before.keys() | found.keys():
            if before.get(uid) != found.get(uid):
                self._woken(uid)


def _rank(one: Container) -> tuple[bool, int, int]:
    """Attempts are counted anew in another sandbox, as after the node was started again."""
    return one.state == "running", one.created_ns, one.attempt
