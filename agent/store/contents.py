"""Files of a checkpoint, opened without trust: whoever can write the volume may have put anything
there."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from agent.kernel import calls
from agent.store import hashing
from agent.store.failures import named, storage_error
from chrek.errors import DamagedError, NotFoundError
from chrek.manifest import StoredFile


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of a checkpoint's directory; raises NotFoundError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise storage_error(str(path), error) from error
        raise NotFoundError(f"no checkpoint at {path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(directory: int, file: StoredFile) -> int:
    """A descriptor of one file of a checkpoint; raises DamagedError unless it is a plain file of
    the recorded size."""
    return open_named(directory, file.name, file.size_bytes)


def open_named(directory: int, name: str, size_bytes: int) -> int:
    """As `open_file`. Neither a link nor a FIFO nor a way out of the directory is followed."""
    descriptor = _open(directory, name)
    with ExitStack() as stack:
        stack.callback(os.close, descriptor)
        found = status(descriptor, name)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size_bytes:
            raise DamagedError(
                f"{name} of the checkpoint has {found.st_size} bytes, not {size_bytes}"
            )
        stack.pop_all()
    return descriptor


def status(descriptor: int, name: str) -> os.stat_result:
    """Of a file of a checkpoint; raises StorageError."""
    with named(f"{name} of the checkpoint"):
        return os.fstat(descriptor)


def exists(directory: int, name: str) -> bool:
    """Whether a checkpoint has anything of that name."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


@contextmanager
def created(path: Path) -> Iterator[int]:
    """A descriptor of a new file. Raises StorageError, also where the last bytes find no room: NFS
    says that when the file is closed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with named(str(path)):
        new = os.open(path, flags, 0o600)
    try:
        yield new
    except BaseException:
        with suppress(OSError):
            os.close(new)
        raise
    with named(str(path)):
        os.close(new)


def differs(name: str) -> DamagedError:
    """The error of a file that is not what was published."""
    return DamagedError(f"{name} of the checkpoint is damaged: its hash differs")


def verified(descriptor: int, file: StoredFile) -> None:
    """Raise DamagedError unless the bytes behind `descriptor` are those that were published."""
    with named(f"{file.name} of the checkpoint"):
        digest = hashing.of_descriptor(descriptor, file.size_bytes, file.digest)
    if digest != file.digest:
        raise differs(file.name)


def read_verified(directory: int, file: StoredFile) -> bytes:
    """A small file, read once: the bytes returned are the bytes that were checked."""
    descriptor = open_file(directory, file)
    try:
        with named(f"{file.name} of the checkpoint"):
            content = _read_all(descriptor, file.size_bytes)
    finally:
        os.close(descriptor)
    if hashing.of_bytes(content) != file.digest:
        raise differs(file.name)
    return content


def read_plain(directory: int, name: str, most: int) -> bytes:
    """The bytes of one file of at most so many, as they are; raises DamagedError for any other."""
    descriptor = _open(directory, name)
    try:
        found = status(descriptor, name)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise DamagedError(f"{name} of the checkpoint is no plain file of sensible size")
        with named(f"{name} of the checkpoint"):
            return _read_all(descriptor, found.st_size)
    finally:
        os.close(descriptor)


def _open(directory: int, name: str) -> int:
    try:
        return calls.openat2(
            directory,
            name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
            resolve=calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS,
        )
    except OSError as error:
        raise DamagedError(f"{name} of the checkpoint: {error.strerror}") from error


def _read_all(descriptor: int, size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0 and (piece := os.read(descriptor, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
