"""Where a checkpoint is when it is restored: in the page cache, on disk alone, on a tmpfs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.kernel import mounts
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
def tmpfs(place: Path, *, huge: bool = False) -> Iterator[Path]:
    """A tmpfs of as much memory as there is, on the new directory `place`; of huge pages, if `huge`
    and the kernel has them for it."""
    place.mkdir()
    try:
        try:
            _mount(place, *(["huge=always"] if huge else []))
        except SideFailedError:
            if not huge:
                raise
            _mount(place)
        try:
            yield place
        finally:
            _unmounted(place)
    finally:
        place.rmdir()


def has_huge_pages(place: Path) -> bool:
    """Whether the tmpfs on `place` is of huge pages."""
    found = mounts.at(mounts.of("self"), str(place.resolve()))
    return found is not None and found.super_option("huge") == "always"


def _mount(place: Path, *options: str) -> None:
    words = ",".join(["size=100%", "mode=755", *options])
    commands.output(["mount", "-t", "tmpfs", "-o", words, "bench", str(place)])


def _unmounted(place: Path) -> None:
    try:
        commands.output(["umount", str(place)])
    except SideFailedError:  # something that could not be ended is on it
        commands.output(["umount", "--lazy", str(place)])
