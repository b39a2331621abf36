"""The images of a checkpoint as their messages, decoded once; those that were changed, encoded."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from chrek.errors import DamagedError

_MODULES: Final = {
    "inventory": ("inventory_pb2", "inventory_entry"),
    "pstree": ("pstree_pb2", "pstree_entry"),
    "seccomp": ("seccomp_pb2", "seccomp_entry"),
    "files": ("fdinfo_pb2", "file_entry"),
    "core": ("core_pb2", "core_entry"),
    "ids": ("core_pb2", "task_kobj_ids_entry"),
    "ghost": ("ghost_file_pb2", "ghost_file_entry"),
}


def load(bundle: Bundle) -> None:
    """Import all messages ahead: that takes longer than reading images does."""
    for module, _ in _MODULES.values():
        messages(bundle.path, module)


class Decoded:
    """Images by name, each a list of entries."""

    def __init__(self, bundle: Bundle, images: Mapping[str, bytes]) -> None:
        self._bundle = bundle
        self._images = images
        self._entries: dict[str, list[Any]] = {}
        self._changed: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether there is such an image."""
        return name in self._images

    def entries(self, name: str) -> list[Any]:
        """All entries of an image; raises DamagedError."""
        if name not in self._entries:
            self._entries[name] = list(self._read(name))
        return self._entries[name]

    def only(self, name: str) -> Any:
        """The one entry of an image; raises DamagedError."""
        found = self.entries(name)
        if len(found) != 1:
            raise DamagedError(f"{name} of the checkpoint has {len(found)} entries, not one")
        return found[0]

    def heads(self, kind: str) -> Iterator[tuple[str, Any]]:
        """The first entry of every image of a kind: what follows may be no entries."""
        for name in self._images:
            if name.startswith(kind):
                entry = next(self._read(name), None)
                if entry is None:
                    raise DamagedError(f"{name} of the checkpoint is empty")
                yield name, entry

    def changed(self, name: str) -> None:
        """The entries of this image are not those that were read."""
        self._changed.add(name)

    def written(self) -> dict[str, bytes]:
        """All images, as they are now."""
        return {
            name: framing.joined(content, self._entries[name]) if name in self._changed else content
            for name, content in self._images.items()
        }

    def _read(self, name: str) -> Iterator[Any]:
        content = self._images.get(name)
        if content is None:
            raise DamagedError(f"the checkpoint has no image {name}")
        module, message = _MODULES[name.partition(".")[0].partition("-")[0]]
        return framing.entries(content, getattr(messages(self._bundle.path, module), message))
