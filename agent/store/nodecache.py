"""The node's own directory for checkpoints: captures are put together in it, and copies of what is
published stay.

It is laid out as a claim is, but nobody but the node's root can write it.
"""

import os
import stat
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agent.store import space
from agent.store.checkpoints import Checkpoints
from agent.store.failures import named
from chrek import ids
from chrek.errors import StorageDeniedError

_LEFT_SHARE: Final = 0.15
"""Of the disk, that stays free: with less than that the kubelet begins to evict pods."""


class NodeCache:
    """Of one agent. path: the directory, made if need be; may be on a tmpfs. size_bytes: most that
    copies take. Raises StorageError."""

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
        self._promised_bytes = 0
        self._lock = threading.Lock()

    def store(self, namespace: str) -> Checkpoints:
        """What there is of one namespace."""
        return Checkpoints(self.path, namespace)

    def tidy(self, in_use: Collection[Path] = ()) -> None:
        """Delete what killed captures left, but for `in_use`."""
        with suppress(OSError):
            for home in self.path.iterdir():
                if ids.is_label(home.name):
                    self.store(home.name).tidy(set(in_use))

    @contextmanager
    def room(self, needed_bytes: int) -> Iterator[int]:
        """How much of the disk may be taken; where that is enough, `needed_bytes` are kept from
        others meanwhile. Raises StorageError."""
        with self._lock:
            found = space.free_bytes(self.path, _LEFT_SHARE) or 0
            free_bytes = max(0, found - self._promised_bytes)
            promised = needed_bytes if needed_bytes <= free_bytes else 0
            self._promised_bytes += promised
        try:
            yield free_bytes
        finally:
            with self._lock:
                self._promised_bytes -= promised
