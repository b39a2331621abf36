"""Who restores from a checkpoint holds it, by flock(2) on its manifest, and nobody removes it then.

The kernel gives the lock back however its holder ends; a network file system's server does, once
it misses the client. A volume without locks has no such rule: there a restore may lose what it
reads, and its container starts cold.
"""

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from agent.store.failures import storage_error
from chrek.errors import NotFoundError
from chrek.names import MANIFEST

_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_NO_MANIFEST: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_TAKEN: Final = (errno.EWOULDBLOCK, errno.EACCES)
"""NFS says EACCES."""


@asynccontextmanager
async def in_use(path: Path) -> AsyncIterator[None]:
    """Keep the checkpoint in `path` from being removed while the block lasts.

    Raises NotFoundError if it is gone, or is being removed at this moment.
    """
    taking = asyncio.ensure_future(asyncio.to_thread(_share, path))
    try:
        descriptor = await asyncio.shield(taking)
    except asyncio.CancelledError:
        taking.add_done_callback(_close_result)
        raise
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def removable(path: Path) -> Iterator[bool]:
    """Whether nobody restores from the checkpoint in `path`; nobody begins to while the block
    lasts. Does not wait. What has no manifest, nobody restores from. Raises StorageError."""
    try:
        # NFS makes a lock of its own of it, which for an exclusive one takes a writable file.
        descriptor = _open(path, os.O_RDWR)
    except OSError as error:
        if error.errno not in _NO_MANIFEST and error.errno != errno.EISDIR:
            raise storage_error(f"{path}/{MANIFEST}", error) from error
        yield True
        return
    try:
        yield _lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _share(path: Path) -> int:
    try:
        descriptor = _open(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_MANIFEST:
            raise NotFoundError(f"no checkpoint at {path}: {error.strerror}") from error
        raise storage_error(f"{path}/{MANIFEST}", error) from error
    is_ours = False
    try:
        is_ours = _lock(descriptor, fcntl.LOCK_SH) and _is_at(descriptor, path)
    finally:
        if not is_ours:
            os.close(descriptor)
    if not is_ours:
        raise NotFoundError(f"the checkpoint at {path} is being removed")
    return descriptor


def _open(path: Path, flags: int) -> int:
    return os.open(path / MANIFEST, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _lock(descriptor: int, kind: int) -> bool:
    """False if another has it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno not in _NO_LOCKS:
            raise storage_error("locking a checkpoint", error) from error
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether what was locked was not put out of sight before it was."""
    try:
        there = (path / MANIFEST).lstat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _close_result(taking: "asyncio.Future[int]") -> None:
    if not taking.cancelled() and taking.exception() is None:
        os.close(taking.result())
