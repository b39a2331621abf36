"""Below a directory of the container's: no link is followed and no mount is crossed."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from agent.kernel import calls
from chrek.errors import FilesRestoreError

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
WITHIN: Final = calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS | calls.RESOLVE_NO_XDEV


@contextlib.contextmanager
def parent(root: int, path: str) -> Iterator[tuple[int, str]]:
    """The directory that holds `path` and the last name of it."""
    above, _, name = path.rpartition("/")
    if name in ("", ".", ".."):
        raise FilesRestoreError(f"the archive of files has an entry {path[:80]!r}")
    directory = calls.openat2(root, above or ".", DIRECTORY, resolve=WITHIN)
    try:
        yield directory, name
    finally:
        os.close(directory)


@contextlib.contextmanager
def held(directory: int, name: str) -> Iterator[int]:
    """A descriptor (O_PATH) of what `name` is now, whatever others put in its place meanwhile."""
    descriptor = calls.openat2(directory, name, os.O_PATH | os.O_NOFOLLOW, resolve=WITHIN)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def not_mounted(directory: int, name: str) -> None:
    """Raise OSError when something is mounted at `name`: it is not the source's to change, and
    from another mount namespace the kernel would let us delete the name from under it."""
    with contextlib.suppress(FileNotFoundError), held(directory, name):
        pass


def remove(directory: int, name: str) -> None:
    """Remove `name`, a directory with all that is in it."""
    not_mounted(directory, name)
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        empty(directory, name)
        os.rmdir(name, dir_fd=directory)


def empty(directory: int, name: str) -> None:
    """Remove all that is in the directory `name`."""
    below = calls.openat2(directory, name, DIRECTORY, resolve=WITHIN)
    try:
        for child in os.listdir(below):  # noqa: PTH208 - a descriptor
            remove(below, child)
    finally:
        os.close(below)
