"""Where a checkpoint is when it is restored: in the page cache, on disk alone, on a tmpfs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import commands
from bench.failures import SideFailedError


def drop(directory: Path) -> None:
    """Take every file below `directory` out of the page cache, and nothing else."""
    for parent, _, names in os.walk(directory):
        for name in names:
            path = Path(parent, name)
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                os.fsync(file.fileno())  # what is not written yet cannot be dropped
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def tmpfs(place: Path) -> Iterator[Path]:
    """A tmpfs of as much memory as there is, on the new directory `place`."""
    place.mkdir()
    try:
        commands.output(["mount", "-t", "tmpfs", "-o", "size=100%,mode=755", "bench", str(place)])
        try:
            yield place
        finally:
            _unmounted(place)
    finally:
        place.rmdir()


def _unmounted(place: Path) -> None:
    try:
        commands.output(["umount", str(place)])
    except SideFailedError:  # something that could not be ended is on it
        commands.output(["umount", "--lazy", str(place)])
