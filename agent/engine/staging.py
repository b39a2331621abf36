"""Where a capture is put together: in the node's own directory where that has room, so that the
source stands still for as long as the node's disk takes, and what is signed was never where others
can write. A copy comes to the volume once the source runs again. Else on the volume itself.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.store import copying, space
from agent.store.checkpoints import Checkpoints
from agent.store.nodecache import NodeCache
from chrek.errors import StorageError, StorageFullError
from chrek.ids import CheckpointID
from chrek.logs import event
from chrek.manifest import Manifest
from chrek.phases import phase

_log = logging.getLogger("chrek.capture")
_LAST_SECONDS: Final = 5.0
"""So long a copy that was given up is waited for: its volume may hang."""


class _GivenUpError(Exception):
    """Nobody wants the copy any more."""


@dataclass(frozen=True, slots=True)
class Staging:
    """One capture's. home: the tree of checkpoints that `path`, where it is put together, is in.
    volume: where it is published; beside: where its copy there grows, if `path` is not there."""

    home: Checkpoints
    path: Path
    volume: Checkpoints
    beside: Path | None

    @property
    def places(self) -> list[Path]:
        """What is left of it when its agent is killed."""
        return [self.path, self.beside] if self.beside else [self.path]

    def made(self) -> contextlib.AbstractContextManager[None]:
        """The directory, gone after the block."""
        return self.home.staging(self.path)

    async def publish(self, manifest: Manifest, *, replace: bool) -> Path:
        """What is in `path` as a checkpoint of the volume, whole or not at all; raises
        ExistsError, StorageError."""
        if self.beside is None:
            with phase("publish"):
                return await asyncio.to_thread(
                    self.volume.publish, self.path, manifest.variant, replace=replace
                )
        stop = threading.Event()
        thread = asyncio.ensure_future(
            asyncio.to_thread(self._copied, self.beside, manifest, stop, replace=replace)
        )
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            stop.set()
            thread.add_done_callback(_heard)
            await asyncio.wait([thread], timeout=_LAST_SECONDS)
            raise

    def _copied(
        self, beside: Path, manifest: Manifest, stop: threading.Event, *, replace: bool
    ) -> Path:
        def step() -> None:
            if stop.is_set():
                raise _GivenUpError

        self._refuse_full()
        with self.volume.staging(beside):
            with phase("copy"):
                copying.copy(self.path, manifest.files, beside, step)
            with phase("publish"):
                return self.volume.publish(beside, manifest.variant, replace=replace)

    def _refuse_full(self) -> None:
        """Before a byte is written for nothing."""
        needed, free = space.taken_bytes(self.path), space.free_bytes(self.volume.claim)
        if free is not None and needed > free:
            raise StorageFullError(
                f"the checkpoint has {needed >> 20} MiB, the volume {free >> 20} MiB free",
                hint="Delete checkpoints, or enlarge the claim",
            )


@contextlib.contextmanager
def chosen(
    volume: Checkpoints, identifier: CheckpointID, cache: NodeCache | None, needed_bytes: int
) -> Iterator[Staging]:
    """Where a capture that takes `needed_bytes` is put together."""
    place = volume.staging_path(identifier)
    on_volume = Staging(volume, place, volume, None)
    if cache is None:
        yield on_volume
        return
    with contextlib.ExitStack() as stack:
        try:
            free_bytes = stack.enter_context(cache.room(needed_bytes))
        except StorageError as error:
            event(_log, logging.WARNING, "captured on the volume", why=error)
            yield on_volume
            return
        if free_bytes < needed_bytes:
            event(
                _log, logging.INFO, "captured on the volume",
                why="no room in the node's directory", needed=needed_bytes, free=free_bytes,
                free_on_volume=space.free_bytes(volume.claim),
            )  # fmt: skip
            yield on_volume
            return
        home = cache.store(volume.namespace)
        yield Staging(home, home.staging_path(identifier), volume, place)


def _heard(thread: "asyncio.Future[Path]") -> None:
    if not thread.cancelled():
        thread.exception()
