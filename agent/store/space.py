"""How much of a disk there is, and how much of it something takes."""

import os
from pathlib import Path

from agent.store.failures import named


def free_bytes(path: Path, left_share: float = 0.0) -> int | None:
    """What may still be written where `path` is, if `left_share` of the disk is to stay free; None
    where the file system does not say. Raises StorageError."""
    with named(str(path)):
        found = os.statvfs(path)
    if not found.f_blocks:
        return None
    return max(0, int(found.f_frsize * (found.f_bavail - left_share * found.f_blocks)))


def taken_bytes(path: Path) -> int:
    """By the files below `path`, less their holes."""
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            found = os.lstat(f"{directory}/{name}")
            total += min(found.st_size, found.st_blocks * 512)
    return total
