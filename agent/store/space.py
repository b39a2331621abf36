"""How much of a disk there is, and how much of it something takes."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from agent.store.failures import named


def free_bytes(path: Path, left_share: float = 0.0) -> int | None:
    """What may still be written where `path` is, if `left_share` of the disk is to stay free: below
    0 where it is not. None where the file system does not say. Raises StorageError."""
    with named(str(path)):
        found = os.statvfs(path)
    if not found.f_blocks:
        return None
    return int(found.f_frsize * (found.f_bavail - left_share * found.f_blocks))


def taken(found: os.stat_result) -> int:
    """By a file, less its holes, in bytes."""
    return min(found.st_size, found.st_blocks * 512)


def taken_bytes(path: Path) -> int:
    """By all files below `path`; 0 for those that are not there any more."""
    total = 0
    for name in _below(path):
        with suppress(OSError):
            total += taken(os.lstat(name))
    return total


def _below(path: Path) -> Iterator[str]:
    for directory, _, names in os.walk(path):
        for name in names:
            yield f"{directory}/{name}"
