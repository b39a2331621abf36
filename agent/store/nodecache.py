"""The node's own directory for checkpoints: captures are put together in it, and copies of what is
published stay, so that restores read them from there.

It is laid out as a claim is, and only the node's root can write it. A copy is believed no more than
a volume: it is one if its manifest is the volume's, and every byte is checked as ever.
"""

import logging
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from agent.store import checkpoints, compressed, contents, copying, space
from agent.store.checkpoints import TRASH, Checkpoints
from agent.store.failures import named
from agent.store.use import removable
from chrek import ids
from chrek.errors import ChrekError, NotFoundError, StorageDeniedError
from chrek.ids import CheckpointID, Variant
from chrek.logs import event
from chrek.manifest import Manifest
from chrek.names import MANIFEST

_log = logging.getLogger("chrek.cache")
_LEFT_SHARE: Final = 0.15
"""Of the disk, that stays free: with less than that the kubelet begins to evict pods."""

Result = Literal["hit", "miss", "damaged"]
"""What a restore found: a copy, none, or one that was not what was published."""
Reason = Literal["room", "removed", "damaged"]
"""Why a copy went. removed: its checkpoint was, or another took its place."""


@dataclass(frozen=True, slots=True)
class Copy:
    """used_ns: when it was restored from last, or made (ns since 1970). size_bytes: on the disk."""

    namespace: str
    identifier: str
    variant: str
    path: Path
    used_ns: int
    size_bytes: int


class NodeCache:
    """Of one agent. path: the directory, made if need be; may be on a tmpfs. size_bytes: most that
    copies take. results, dropped: since this agent began. Raises StorageError."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        with named(str(path)):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = path.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise StorageDeniedError(
                f"others than root can write {path}, and change what is signed there",
                hint="chown root, chmod 755",
            )
        self.path = path
        self.size_bytes = size_bytes
        self.results: Counter[Result] = Counter()
        self.dropped: Counter[Reason] = Counter()
        self._promised_bytes = 0
        self._coming_bytes = 0
        self._lock = threading.Lock()

    def store(self, namespace: str) -> Checkpoints:
        """What there is of one namespace."""
        return Checkpoints(self.path, namespace)

    def tidy(self) -> None:
        """Delete what killed captures and copies left; for before anything begins."""
        for home in self._homes():
            self.store(home.name).tidy(set())

    def copies(self) -> list[Copy]:
        """What is kept, the least lately used first."""
        found: list[Copy] = []
        for home in self._homes():
            with suppress(ChrekError):
                found += _of(self.store(home.name))
        return sorted(found, key=lambda copy: copy.used_ns)

    @property
    def copied_bytes(self) -> int:
        """What copies take."""
        return sum(copy.size_bytes for copy in self.copies())

    def find(self, manifest: Manifest) -> Path | None:
        """Where there is a copy of the very checkpoint that has this manifest."""
        path = self._place(manifest)
        try:
            return path if checkpoints.peek(path) == manifest else None
        except ChrekError:
            return None

    def found(self, result: Result, path: Path | None = None) -> None:
        """A restore found this: a copy, at `path`, which is in use now, or none."""
        self.results[result] += 1
        if path is not None:
            with suppress(OSError):
                os.utime(path / MANIFEST)

    @contextmanager
    def room(self, needed_bytes: int) -> Iterator[int]:
        """How much of the disk a capture may take; where that is enough, `needed_bytes` are kept
        from others meanwhile. Copies make room for it. Raises StorageError."""
        with self._lock:
            self._make_room(disk_bytes=needed_bytes)
            free_bytes = max(0, self._free_bytes())
        with self._coming(disk_bytes=needed_bytes if needed_bytes <= free_bytes else None):
            yield free_bytes

    def keep(self, staged: Path, manifest: Manifest) -> bool:
        """Keep what a capture put together in `staged`; whether there was room. It is not synced to
        the disk: what a node that lost its power has of it is checked as ever. Raises
        StorageError."""
        self.drop(self._place(manifest), "removed")
        with self._coming(copy_bytes=space.taken_bytes(staged)) as is_room:
            if is_room:
                store = self.store(manifest.namespace)
                store.publish(staged, manifest.variant, replace=True, durable=False)
        return is_room

    def fill(self, source: Path, manifest: Manifest, step: Callable[[], object]) -> bool:
        """Copy the checkpoint in `source`; whether there was room. step: as in copying.copy.
        Raises DamagedError, StorageError."""
        self.drop(self._place(manifest), "removed")
        store = self.store(manifest.namespace)
        place = store.staging_path(CheckpointID(manifest.id))
        needed = _needed_bytes(source, manifest)
        with self._coming(copy_bytes=needed, disk_bytes=needed) as is_room:
            if not is_room:
                return False
            with store.staging(place):
                copying.copy(source, manifest.files, place, step)
                copying.seal(source, place)
                if checkpoints.peek(place) != manifest:
                    raise NotFoundError(f"{source} was replaced while it was copied")
                # Where the volume compresses, it takes more here.
                more = max(0, space.taken_bytes(place) - needed)
                with self._coming(copy_bytes=more) as fits:
                    if fits:
                        store.publish(place, manifest.variant, replace=True)
                    return fits

    def drop(self, path: Path, reason: Reason) -> None:
        """Have a copy not be there any more; who reads it keeps what he opened."""
        with suppress(ChrekError, OSError):
            if path.is_dir():
                self._erase(checkpoints.hide(path))
                self.dropped[reason] += 1
                event(_log, logging.INFO, "copy dropped", path=path, reason=reason)

    def sweep(self) -> None:
        """Delete what was dropped while it was in use, and what there is no room for: others may
        have filled the disk. Raises StorageError."""
        with self._lock:
            self._make_room(disk_bytes=-self._promised_bytes)  # some of that is taken already
        for home in self._homes():
            for trash in home.glob(f"*/{TRASH}*"):
                self._erase(trash)

    @contextmanager
    def _coming(self, *, copy_bytes: int = 0, disk_bytes: int | None = None) -> Iterator[bool]:
        """Whether there is room; it is kept from others meanwhile."""
        with self._lock:
            is_room = self._make_room(copy_bytes=copy_bytes, disk_bytes=disk_bytes)
            of_copies, of_disk = (copy_bytes, disk_bytes or 0) if is_room else (0, 0)
            self._coming_bytes += of_copies
            self._promised_bytes += of_disk
        try:
            yield is_room
        finally:
            with self._lock:
                self._coming_bytes -= of_copies
                self._promised_bytes -= of_disk

    def _make_room(self, *, copy_bytes: int = 0, disk_bytes: int | None = None) -> bool:
        """Evict until copies may take so much more, and so much of the disk is free; whether that
        is so now. Nothing is evicted where that could not be enough."""
        copies = self.copies()
        taken = sum(copy.size_bytes for copy in copies)
        most = self.size_bytes - self._coming_bytes - copy_bytes
        short = 0 if disk_bytes is None else disk_bytes - self._free_bytes()
        if most < 0 or short > taken:
            return False
        for copy in copies:
            if taken <= most and short <= 0:
                break
            with removable(copy.path) as is_free:
                if not is_free:
                    continue
                trash = checkpoints.hide(copy.path)
            self._erase(trash)
            self.dropped["room"] += 1
            event(_log, logging.INFO, "copy dropped", path=copy.path, reason="room")
            taken, short = taken - copy.size_bytes, short - copy.size_bytes
        return taken <= most and short <= 0

    def _free_bytes(self) -> int:
        return (space.free_bytes(self.path, _LEFT_SHARE) or 0) - self._promised_bytes

    def _place(self, manifest: Manifest) -> Path:
        store = self.store(manifest.namespace)
        return store.place(CheckpointID(manifest.id), Variant(manifest.variant))

    def _homes(self) -> list[Path]:
        with suppress(OSError):
            return sorted(home for home in self.path.iterdir() if ids.is_label(home.name))
        return []

    def _erase(self, trash: Path) -> None:
        with suppress(ChrekError, OSError):
            if checkpoints.delete(trash):
                trash.parent.rmdir()


def _needed_bytes(source: Path, manifest: Manifest) -> int:
    """Of what is not compressed."""
    total = 0
    with contents.opened(source) as directory:
        for file in manifest.files:
            with compressed.opened(directory, file) as (descriptor, table):
                found = contents.status(descriptor, file.name)
                total += table.present_bytes if table else space.taken(found)
    return total


def _of(store: Checkpoints) -> Iterator[Copy]:
    for identifier in store.ids():
        for path in store.every_variant(identifier):
            used_ns = 0  # without a manifest it goes first
            with suppress(OSError):
                used_ns = (path / MANIFEST).lstat().st_mtime_ns
            size_bytes = space.taken_bytes(path)
            yield Copy(store.namespace, identifier, path.name, path, used_ns, size_bytes)
