"""What may be done in a file system that others use too: add and replace, not delete.

Another container's files are there, its sockets, what it wrote since the pod began.
"""

import contextlib
import os
import stat
from dataclasses import dataclass, field

from agent.files import below
from chrek.errors import FilesRestoreError


@dataclass
class Root:
    """Where the entries of one root of an archive go. shared: others may use it. made: paths that
    this restore brought, and that were not there before."""

    descriptor: int
    shared: bool
    made: set[str] = field(default_factory=set)


def make_way(root: Root, path: str, directory: int, name: str, *, for_directory: bool) -> None:
    """Before an entry is placed at `path`, which is `name` in `directory`: a file there may be
    replaced, a directory with all that others have in it may not."""
    kind = _kind(directory, name)
    if kind == stat.S_IFDIR and not for_directory:
        take_back(root, path)
        kind = _kind(directory, name)
        if kind == stat.S_IFDIR:
            raise FilesRestoreError(f"{path} is a directory here, and was none in the source")
    if kind is None:
        root.made.add(path)


def take_back(root: Root, path: str) -> None:
    """Remove what this restore brought to `path` and below; with "" all that it brought."""
    inside = f"{path}/" if path else ""
    for made in sorted((m for m in root.made if m == path or m.startswith(inside)), reverse=True):
        # A directory in which others have put something stays.
        with contextlib.suppress(OSError), below.parent(root.descriptor, made) as (above, name):
            below.not_mounted(above, name)
            if _kind(above, name) == stat.S_IFDIR:
                os.rmdir(name, dir_fd=above)
            else:
                os.unlink(name, dir_fd=above)
            root.made.discard(made)


def _kind(directory: int, name: str) -> int | None:
    try:
        return stat.S_IFMT(os.lstat(name, dir_fd=directory).st_mode)
    except FileNotFoundError:
        return None
