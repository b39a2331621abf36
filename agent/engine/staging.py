"""Where a capture is put together: in the node's own directory where that has room, so that the
source stands still for as long as the node's disk takes, and what is signed was never where others
can write. A copy comes to the volume once the source runs again. Else on the volume itself.
"""

import asyncio
import contextlib
import functools
import logging
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.engine.threads import or_given_up, to_its_end
from agent.store import copying, space
from agent.store.checkpoints import Checkpoints
from agent.store.nodecache import NodeCache
from chrek.compression import Compression
from chrek.errors import ChrekError, StorageError, StorageFullError
from chrek.ids import CheckpointID
from chrek.logs import event
from chrek.manifest import Manifest, StoredFile
from chrek.names import PAGES_PREFIX
from chrek.phases import phase

_log = logging.getLogger("chrek.capture")
_LAST_SECONDS: Final = 5.0
"""So long a copy that was given up is waited for: its volume may hang."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What becomes of what was put together. files: all of it. seal: writes the manifest of these
    files as they lie on the volume, and its signature, beside them. compression: of page files
    there. replace: in the place of an existing variant."""

    files: list[StoredFile]
    seal: Callable[[list[StoredFile]], Manifest]
    compression: Compression | None
    replace: bool


@dataclass(frozen=True, slots=True)
class Staging:
    """One capture's. home: the tree of checkpoints that `path`, where it is put together, is in.
    volume: where it is published. cache, beside: if `path` is in the node's directory; there the
    copy on the volume grows."""

    home: Checkpoints
    path: Path
    volume: Checkpoints
    cache: NodeCache | None = None
    beside: Path | None = None

    @property
    def places(self) -> list[Path]:
        """What is left of it when its agent is killed."""
        return [self.path, self.beside] if self.beside else [self.path]

    def made(self) -> contextlib.AbstractContextManager[None]:
        """The directory, gone after the block."""
        return self.home.staging(self.path)

    async def publish(self, wanted: Publication) -> tuple[Path, Manifest]:
        """What is in `path` as a checkpoint of the volume, whole or not at all; raises ExistsError,
        StorageError."""
        stop = threading.Event()

        def step() -> None:
            if stop.is_set():
                raise copying.GivenUpError

        work = functools.partial(self._published, wanted, step)
        return await or_given_up(work, stop=stop, seconds=_LAST_SECONDS)

    def _published(self, wanted: Publication, step: Callable[[], object]) -> tuple[Path, Manifest]:
        if self.beside is None:
            return self._in_place(wanted, step)
        self._refuse_full(wanted.compression)
        with self.volume.staging(self.beside):
            with phase("copy"):
                files = copying.copy(self.path, wanted.files, self.beside, step, wanted.compression)
            with phase("publish"):
                manifest = wanted.seal(files)
                copying.seal(self.path, self.beside)
                self._keep(manifest)  # before: what is published must not wait to be told of
                path = self.volume.publish(self.beside, manifest.variant, replace=wanted.replace)
                return path, manifest

    def _in_place(self, wanted: Publication, step: Callable[[], object]) -> tuple[Path, Manifest]:
        files = wanted.files
        if wanted.compression:
            with phase("compress"):
                files = copying.compress(self.path, files, wanted.compression, step)
        with phase("publish"):
            manifest = wanted.seal(files)
            path = self.volume.publish(self.path, manifest.variant, replace=wanted.replace)
            return path, manifest

    def _keep(self, manifest: Manifest) -> None:
        """As the node's copy. A failure is of no consequence."""
        assert self.cache is not None
        try:
            self.cache.keep(self.path, manifest)
        except ChrekError as error:
            event(_log, logging.WARNING, "not kept on the node", checkpoint=manifest.id, why=error)

    def _refuse_full(self, compression: Compression | None) -> None:
        """Before a byte is written for nothing. What page files become is not known."""
        needed, free = space.taken_bytes(self.path), space.free_bytes(self.volume.claim)
        if compression:
            pages = self.path.glob(f"{PAGES_PREFIX}*")
            needed -= sum(space.taken(path.lstat()) for path in pages)
        if free is not None and needed > free:
            raise StorageFullError(
                f"the checkpoint has {needed >> 20} MiB, the volume {free >> 20} MiB free",
                hint="Delete checkpoints, or enlarge the claim",
            )


@contextlib.asynccontextmanager
async def chosen(
    volume: Checkpoints, identifier: CheckpointID, cache: NodeCache | None, needed_bytes: int
) -> AsyncIterator[Staging]:
    """Where a capture that takes `needed_bytes` is put together; raises StorageError."""
    place = volume.staging_path(identifier)
    on_volume = Staging(volume, place, volume)
    if cache is None:
        yield on_volume
        return
    with contextlib.ExitStack() as room:
        try:
            free_bytes = await to_its_end(room.enter_context, cache.room(needed_bytes))
            why = "no room in the node's directory" if free_bytes < needed_bytes else ""
        except StorageError as error:
            free_bytes, why = 0, str(error)
        if why:
            free_on_volume = await asyncio.to_thread(space.free_bytes, volume.claim)
            event(
                _log, logging.INFO, "captured on the volume", why=why, needed=needed_bytes,
                free=free_bytes, free_on_volume=free_on_volume,
            )  # fmt: skip
            yield on_volume
            return
        await asyncio.to_thread(_refuse_unwritable, volume, place)
        home = cache.store(volume.namespace)
        yield Staging(home, home.staging_path(identifier), volume, cache, place)


def _refuse_unwritable(volume: Checkpoints, place: Path) -> None:
    """Before the source stands still for nothing."""
    with volume.staging(place):
        pass
