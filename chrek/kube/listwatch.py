"""List, then watch from that version on: keeps an observer told of all objects of one kind.

Bookmarks keep the version fresh; 410 means list again; a broken connection is taken up where it
was, after a pause with jitter, so that no API server that comes back meets everybody at once.
"""

import asyncio
import logging
import random
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from chrek.kube.api import API, JSON
from chrek.kube.errors import APIError, ExpiredError
from chrek.logs import event

_log = logging.getLogger("chrek.watch")

_PAGE: Final = "500"
_WATCH_SECONDS: Final = (240, 480)
_SILENCE_SECONDS: Final = 150.0
"""Bookmarks come about once a minute; after so long without one the connection is dead."""
_BETWEEN_SECONDS: Final = (0.05, 0.5)
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0


class Observer(Protocol):
    """Is told of objects, each the API's JSON."""

    def replaced(self, objects: Iterable[JSON]) -> None:
        """These are all that there are."""

    def changed(self, found: JSON) -> None:
        """This one is new, or other than it was."""

    def deleted(self, found: JSON) -> None:
        """This one is gone."""


@dataclass(slots=True)
class Health:
    """listed: everything is known. failures: since the last good answer. problem: the last one."""

    listed: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    restarts: int = 0
    problem: str = ""


class ListWatch:
    """One kind of objects at `path`, e.g. /api/v1/namespaces/ml/persistentvolumeclaims."""

    def __init__(
        self, api: API, path: str, observer: Observer, selector: dict[str, str] | None = None
    ) -> None:
        self.path = path
        self.health = Health()
        self._api = api
        self._observer = observer
        self._selector = selector or {}
        self._version: str | None = None

    async def run(self) -> None:
        """Until cancelled; the API server may come and go."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._watch()
                await asyncio.sleep(random.uniform(*_BETWEEN_SECONDS))  # noqa: S311
            except ExpiredError as error:
                self._version = None
                await self._pause(error)
            except APIError as error:
                await self._pause(error)

    async def _list(self) -> str:
        objects: list[JSON] = []
        query = {**self._selector, "limit": _PAGE}
        while True:
            page = await self._api.get(self.path, query)
            try:
                metadata: dict[str, Any] = page["metadata"]
                version, more = str(metadata["resourceVersion"]), metadata.get("continue")
                objects += page["items"] or []
            except (KeyError, TypeError, AttributeError) as error:
                raise APIError(f"{self.path}: what was listed is no list") from error
            if not more:
                break
            query["continue"] = str(more)
        self._observer.replaced(objects)
        self._well()
        self.health.listed.set()
        event(_log, logging.INFO, "listed", path=self.path, objects=len(objects))
        return version

    async def _watch(self) -> None:
        query = {
            **self._selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "0",
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311
        }
        lines = self._api.lines(self.path, query, silence_seconds=_SILENCE_SECONDS)
        async with aclosing(lines):  # the connection too, when a line ends this watch
            async for line in lines:
                if line.strip():
                    self._take(line)
                    self._well()

    def _take(self, line: bytes) -> None:
        try:
            kind, found = (taken := msgspec.json.decode(line))["type"], taken["object"]
            if kind == "ERROR":
                raise _told(self.path, found)
            version = str(found["metadata"]["resourceVersion"])
        except (
            msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, AttributeError,
            RecursionError,
        ) as error:  # fmt: skip
            raise ExpiredError(f"{self.path}: a watch gave {line[:100]!r}") from error
        if kind in ("ADDED", "MODIFIED"):
            self._observer.changed(found)
        elif kind == "DELETED":
            self._observer.deleted(found)
        self._version = version

    def _well(self) -> None:
        self.health.failures = 0
        self.health.problem = ""

    async def _pause(self, error: APIError) -> None:
        health = self.health
        health.failures += 1
        health.restarts += 1
        health.problem = error.message
        longest = min(_FIRST_PAUSE_SECONDS * 2 ** min(health.failures, 10), _LONGEST_PAUSE_SECONDS)
        seconds = longest * random.uniform(0.5, 1.0)  # noqa: S311
        event(
            _log, logging.WARNING, "watch interrupted",
            path=self.path, problem=error.message, again_in_seconds=round(seconds, 1),
        )  # fmt: skip
        await asyncio.sleep(seconds)


def _told(path: str, status: JSON) -> APIError:
    code = status.get("code")
    raised = ExpiredError if code == 410 else APIError  # noqa: PLR2004
    return raised(f"{path}: {status.get('message')}", status=code if isinstance(code, int) else 0)
