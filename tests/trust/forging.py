"""A real checkpoint that a test changes and signs anew, which takes the key."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from agent.store import checkpoints
from agent.trust.keys import Keyring
from chrek.names import CRIU_DIR, MANIFEST, SIGNATURE

MESSAGES = {
    "inventory": ("inventory_pb2", "inventory_entry"),
    "pstree": ("pstree_pb2", "pstree_entry"),
    "seccomp": ("seccomp_pb2", "seccomp_entry"),
    "files": ("fdinfo_pb2", "file_entry"),
    "core": ("core_pb2", "core_entry"),
    "ids": ("core_pb2", "task_kobj_ids_entry"),
    "ghost": ("ghost_file_pb2", "ghost_file_entry"),
}


@dataclass(frozen=True)
class Forged:
    """A copy of a checkpoint in a place of its own."""

    path: Path
    bundle: Bundle

    @classmethod
    def copy(cls, original: Path, identifier: str, bundle: Bundle) -> "Forged":
        """A copy under another id of the same namespace, which is not sealed yet."""
        place = original.parents[1] / identifier / original.name
        shutil.copytree(original, place)
        return cls(place, bundle)

    @property
    def images(self) -> Path:
        return self.path / CRIU_DIR

    def image(self, name: str, change: Callable[[list[Any]], object]) -> None:
        """Change the entries of one image."""
        place = self.images / name
        module, message = MESSAGES[name.partition(".")[0].partition("-")[0]]
        kind = getattr(messages(self.bundle.path, module), message)
        content = place.read_bytes()
        entries = list(framing.entries(content, kind))
        change(entries)
        place.write_bytes(framing.joined(content, entries))

    def cores(self, change: Callable[[Any], object]) -> None:
        """Change the core image of every live thread."""
        for place in sorted(self.images.glob("core-*.img")):
            self.image(place.name, lambda entries: _each(entries, change))

    def credentials(self, **fields: Any) -> None:
        """Set fields of the credentials of every thread."""

        def change(core: Any) -> None:
            for field, value in fields.items():
                if isinstance(value, list):
                    getattr(core.thread_core.creds, field)[:] = value
                else:
                    setattr(core.thread_core.creds, field, value)

        self.cores(change)

    def seal(self, keys: Keyring, **manifest: Any) -> Path:
        """The manifest as the files are now, with some fields changed, signed."""
        for name in (MANIFEST, SIGNATURE):
            place = self.path / name
            if place.exists():
                place.rename(place.with_name(f".{name}"))
        document = json.loads((self.path / f".{MANIFEST}").read_text())
        for name in (MANIFEST, SIGNATURE):
            (self.path / f".{name}").unlink()
        files = [
            {"name": file.name, "size_bytes": file.size_bytes, "digest": file.digest}
            for file in checkpoints.table(self.path)
        ]
        document |= {"id": self.path.parent.name, "files": files} | manifest
        content = json.dumps(document).encode()
        (self.path / MANIFEST).write_bytes(content)
        (self.path / SIGNATURE).write_bytes(keys.sign(content))
        return self.path


def flip(place: Path, offset: int) -> None:
    """Change one bit."""
    with place.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), offset)


def _each(entries: list[Any], change: Callable[[Any], object]) -> None:
    for entry in entries:
        if entry.HasField("thread_core"):
            change(entry)
