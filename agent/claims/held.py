"""Descriptors of this process that keep a mount busy, and how they are taken from it.

Work that was given up may still run in a thread: nothing can end a thread. Closing its
descriptors from outside would be worse than leaving them, since the next file that is opened gets
the number and the thread then writes there. So the number stays, and leads to nothing. (A number
that changes hands in the microsecond between look and act fails too, with EBADF: an operation
that has to be tried again, where nothing is written to a wrong place.)
"""

import os
from contextlib import suppress

_FDINFO = "/proc/self/fdinfo"


def mount_id(descriptor: int) -> int:
    """The kernel's number of the mount that a descriptor is on; raises OSError."""
    with open(f"{_FDINFO}/{descriptor}") as lines:  # noqa: PTH123 - as quick as can be
        for line in lines:
            key, _, value = line.partition(":")
            if key == "mnt_id":
                return int(value)
    raise OSError(f"descriptor {descriptor} has no mount")


def revoke(mount: int) -> list[str]:
    """Turn every descriptor on `mount` into one that fails with EBADF; what they were."""
    revoked: list[str] = []
    # No directory: what is made by way of a revoked one would be made in its place.
    nothing = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    try:
        for name in os.listdir(_FDINFO):  # noqa: PTH208
            number = int(name)
            with suppress(OSError):  # closed while we looked
                if mount_id(number) == mount:
                    revoked.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
                    os.dup2(nothing, number, inheritable=False)
    finally:
        os.close(nothing)
    return revoked
