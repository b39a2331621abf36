"""The seccomp profile that keeps io_uring from containers, put where the kubelet looks for it.

CRIU cannot dump an io_uring; what finds none (ENOSYS) uses epoll or threads instead. The
architectures are those chrek runs on and their 32-bit ones: libseccomp takes no mix of byte
orders, and older runtimes refuse names they do not know.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from chrek.errors import ChrekError

NAME: Final = "chrek/no-io-uring.json"
"""As a pod's `seccompProfile.localhostProfile` names it."""

_DIRECTORY, _FILE = NAME.split("/")
_STAGED = f".{_FILE}.new"
_MODE = 0o644


class ProfileError(ChrekError):
    """The profile is not in place on this node."""

    reason = "ProfileNotInstalled"
    retry = True


def content() -> bytes:
    """The profile, in Docker's and the kubelet's JSON."""
    return Path(__file__).with_name(_FILE).read_bytes()


def install(seccomp_dir: Path) -> bool:
    """Make `seccomp_dir`/NAME this package's profile; whether anything was written.

    Whole or not at all, and never through a link. Raises ProfileError.
    """
    wanted = content()
    try:
        with _directory(seccomp_dir) as directory:
            if _is_there(directory, wanted):
                return False
            _write(directory, wanted)
            return True
    except BlockingIOError as error:
        raise ProfileError(f"another agent is at work in {seccomp_dir / _DIRECTORY}") from error
    except OSError as error:
        raise ProfileError(
            f"{seccomp_dir / NAME} could not be written: {error.strerror}",
            hint=f"Look at what stands at {seccomp_dir / _DIRECTORY} on the node, and at its mount",
        ) from error


@contextmanager
def _directory(seccomp_dir: Path) -> Iterator[int]:
    """A descriptor of our directory there, locked: a node may have agents of two releases."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    above = os.open(seccomp_dir, flags)
    try:
        with suppress(FileExistsError):
            os.mkdir(_DIRECTORY, 0o755, dir_fd=above)
        directory = os.open(_DIRECTORY, flags | os.O_NOFOLLOW, dir_fd=above)
    finally:
        os.close(above)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield directory
    finally:
        os.close(directory)


def _is_there(directory: int, wanted: bytes) -> bool:
    try:
        # O_NONBLOCK: a FIFO in its place must not hold us.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        found = os.open(_FILE, flags, dir_fd=directory)
    except OSError:
        return False
    try:
        facts = os.fstat(found)
        return (
            stat.S_ISREG(facts.st_mode)
            and stat.S_IMODE(facts.st_mode) == _MODE
            and facts.st_uid == os.geteuid()
            and os.read(found, len(wanted) + 1) == wanted
        )
    finally:
        os.close(found)


def _write(directory: int, wanted: bytes) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_STAGED, dir_fd=directory)  # of an agent that was killed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    staged = os.open(_STAGED, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(staged, "wb") as file:
            file.write(wanted)
            file.flush()
            os.fchmod(staged, _MODE)
            os.fsync(staged)
        os.rename(_STAGED, _FILE, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with suppress(OSError):
            os.unlink(_STAGED, dir_fd=directory)
        raise
