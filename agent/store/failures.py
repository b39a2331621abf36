"""What the kernel says of a volume, as the error that a person reads."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from chrek.errors import (
    ClaimUnreachableError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
)

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_AWAY = (
    errno.ESTALE,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENODEV,
    errno.ENOTCONN,
    errno.ESHUTDOWN,
    errno.ETIMEDOUT,
)


def storage_error(what: str, error: OSError) -> StorageError:
    """The error of `what`, which ends in what was being done, or to which file."""
    message = f"{what}: {error.strerror or error}"
    if error.errno in _DENIED:
        return StorageDeniedError(
            message,
            hint="Root must be able to write there: an NFS export with root_squash and a read-only"
            " volume let it not. Export with no_root_squash, or use another storage class",
        )
    if error.errno in _FULL:
        return StorageFullError(message, hint="Delete checkpoints, or enlarge the claim")
    if error.errno in _AWAY:
        return ClaimUnreachableError(message, hint="See the volume on the node, and its server")
    return StorageError(message, hint="Check the volume")


@contextmanager
def named(what: str) -> Iterator[None]:
    """An OSError of the block as the error of `what`."""
    try:
        yield
    except OSError as error:
        raise storage_error(what, error) from error
