"""Files and watches of the images that are elsewhere, or have another size, in another pod.

All of them are in files.img: descriptors, mappings, programs, working directories, watches.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from chrek.errors import VolumeFileChangedError


@dataclass(frozen=True, slots=True)
class Here:
    """Where a file of the source is in the placeholder. mode, size_bytes: as stat(2) has them."""

    path: str
    mode: int
    size_bytes: int


Look = Callable[[str], Here | None]
"""Asked with a path as the source had it; None for a file that has to be as it was."""


def moved(bundle: Bundle, content: bytes, look: Look) -> bytes:
    """`files.img` with the paths that `look` knows replaced.

    CRIU refuses a file whose size or mode is not that of the dump: of these it checks neither.
    """
    message = messages(bundle.path, "fdinfo_pb2").file_entry
    entries = list(framing.entries(content, message))
    changed = False
    for entry in entries:
        if entry.HasField("reg"):
            changed |= _file(entry.reg, look)
        elif entry.HasField("ify"):
            for watch in entry.ify.wd:
                changed |= _handle(watch.f_handle, look)
        elif entry.HasField("ffy"):
            for mark in entry.ffy.mark:
                changed |= mark.HasField("ie") and _handle(mark.ie.f_handle, look)
    return framing.joined(content, entries) if changed else content


def _file(file: Any, look: Look) -> bool:
    here = look(file.name)
    if here is None:
        return False
    kind_differs = file.HasField("mode") and stat.S_IFMT(file.mode) != stat.S_IFMT(here.mode)
    # A program or library with a build id is mapped: another one under it is a crash.
    program_differs = len(file.build_id) > 0 and file.size != here.size_bytes
    if kind_differs or program_differs:
        raise VolumeFileChangedError(
            f"{file.name} was in use in the source, and what is there now cannot take its place"
        )
    file.name = here.path
    if file.HasField("mode"):
        file.mode = here.mode
    if not file.build_id:
        file.ClearField("size")
    return True


def _handle(handle: Any, look: Look) -> bool:
    """A watch: by its path, or by an inode number that is another one here."""
    here = look(handle.path) if handle.HasField("path") else None
    if here is None:
        return False
    handle.path = here.path
    return True
