"""Volumes for checkpoints that can be full, broken or read-only."""

import errno
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.kernel import calls

_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN: from here on every operation of the file system is an I/O error."""
_AT_ONCE = 2
_MS_REMOUNT, _MS_RDONLY = 32, 1
_MIB = 1 << 20
_PATIENCE_SECONDS = 10


@contextmanager
def small(place: Path, size_bytes: int) -> Iterator[None]:
    """A tmpfs of `size_bytes` at `place`."""
    place.mkdir(parents=True, exist_ok=True)
    calls.mount("tmpfs", str(place), "tmpfs", 0, f"size={size_bytes},mode=755")
    try:
        yield
    finally:
        _unmount(place)


@contextmanager
def disk(place: Path, size_mib: int = 192) -> Iterator[None]:
    """An ext4 of its own at `place`."""
    place.mkdir(parents=True, exist_ok=True)
    image = place.with_suffix(".ext4")
    with image.open("wb") as file:
        file.truncate(size_mib * _MIB)
    # Shared, so that what others copy of the machine's mounts meanwhile does not hold the disk.
    _run("mount", "--bind", str(place.parent), str(place.parent))
    _run("mount", "--make-shared", str(place.parent))
    try:
        _run("mkfs.ext4", "-q", str(image))
        _run("mount", "-o", "loop", str(image), str(place))
        yield
    finally:
        _unmount(place)
        image.unlink()
        _unmount(place.parent)


def mend(place: Path) -> bool:
    """The same disk, whole again: its journal is played back. False when something still holds
    the broken one."""
    _unmount(place)
    image = place.with_suffix(".ext4")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _run("losetup", "-j", str(image)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    _run("mount", "-o", "loop", str(image), str(place))
    return True


def break_down(place: Path) -> None:
    """Every read and write gives EIO from now on."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, _SHUTDOWN, _AT_ONCE.to_bytes(4, "little"))
    finally:
        os.close(descriptor)


def make_read_only(place: Path) -> None:
    """As the kernel does after an error: also what is open for writing cannot be written."""
    try:
        calls.mount("none", str(place), "", _MS_REMOUNT | _MS_RDONLY, "")
    except OSError as error:
        if error.errno != errno.EBUSY:  # files are open for writing
            raise
        break_down(place)


def shrink(place: Path, share: float) -> None:
    """Let a tmpfs have room for only `share` of what is in it once more."""
    found = os.statvfs(place)
    used = max((found.f_blocks - found.f_bfree) * found.f_frsize, 8 * _MIB)
    size = used + int(used * share) if found.f_files - found.f_ffree > 1 else int(used * share)
    calls.mount("none", str(place), "tmpfs", _MS_REMOUNT, f"size={max(size, 4096)}")


def _unmount(place: Path) -> None:
    # What is still used is reported by the checks, by way of its processes. Whether something is
    # mounted there, os.path.ismount does not see of a directory that is bound to itself.
    done = subprocess.run(["umount", str(place)], capture_output=True, check=False)
    if done.returncode:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
