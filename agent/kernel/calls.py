"""System calls that Python does not offer, one function each, under their C names.

Standard library only: agent.inside imports this before it enters a container.
Constants are those of the generic 64-bit ABI (x86-64 and arm64 share these numbers).
"""

import ctypes
import os
from typing import Final

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x04
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40
RENAME_EXCHANGE: Final = 2
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8
FSOPEN_CLOEXEC: Final = 1
FSCONFIG_CMD_CREATE: Final = 6
FSMOUNT_CLOEXEC: Final = 1
MOUNT_ATTR_RDONLY: Final = 1
MOUNT_ATTR_NOSUID: Final = 2
MOUNT_ATTR_NODEV: Final = 4
MOUNT_ATTR_NOEXEC: Final = 8
MOUNT_ATTR_NOSYMFOLLOW: Final = 0x00200000
MS_PRIVATE: Final = 1 << 18
FALLOC_FL_KEEP_SIZE: Final = 1
FALLOC_FL_PUNCH_HOLE: Final = 2

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_SYS_OPENAT2: Final = 437
_SYS_MOUNT_SETATTR: Final = 442

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _checked(result: int, name: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def _syscall(name: str, number: int, *arguments: object) -> int:
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments), name)


def open_tree(dirfd: int, path: bytes, flags: int) -> int:
    """A descriptor of the mount tree at `path`, detached with OPEN_TREE_CLONE."""
    return _syscall("open_tree", _SYS_OPEN_TREE, ctypes.c_int(dirfd), path, ctypes.c_uint(flags))


def move_mount(from_fd: int, to_fd: int) -> None:
    """Attach the detached tree `from_fd` on the directory or file `to_fd`."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _syscall(
        "move_mount",
        _SYS_MOVE_MOUNT,
        ctypes.c_int(from_fd),
        b"",
        ctypes.c_int(to_fd),
        b"",
        ctypes.c_uint(flags),
    )


def mount_setattr(fd: int, attributes: int, propagation: int = 0) -> None:
    """Set mount attributes, and MS_PRIVATE or its like, on the (detached) tree `fd`, all of it."""
    wanted = _MountAttr(attr_set=attributes, propagation=propagation)
    _syscall(
        "mount_setattr",
        _SYS_MOUNT_SETATTR,
        ctypes.c_int(fd),
        b"",
        ctypes.c_uint(AT_EMPTY_PATH | AT_RECURSIVE),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )


def fsopen(filesystem: bytes) -> int:
    """A context for a new instance of `filesystem`."""
    return _syscall("fsopen", _SYS_FSOPEN, filesystem, ctypes.c_uint(FSOPEN_CLOEXEC))


def fsconfig_create(context: int) -> None:
    """Create the superblock that `context` describes."""
    _syscall(
        "fsconfig",
        _SYS_FSCONFIG,
        ctypes.c_int(context),
        ctypes.c_uint(FSCONFIG_CMD_CREATE),
        None,
        None,
        ctypes.c_int(0),
    )


def fsmount(context: int, attributes: int) -> int:
    """A detached mount of what `context` created."""
    return _syscall(
        "fsmount",
        _SYS_FSMOUNT,
        ctypes.c_int(context),
        ctypes.c_uint(FSMOUNT_CLOEXEC),
        ctypes.c_uint(attributes),
    )


def openat2(dirfd: int, path: str | bytes, flags: int, mode: int = 0, *, resolve: int) -> int:
    """open(2) that stays where RESOLVE_* says; EXDEV or ELOOP when the path would leave."""
    how = _OpenHow(flags=flags | os.O_CLOEXEC, mode=mode, resolve=resolve)
    return _syscall(
        "openat2",
        _SYS_OPENAT2,
        ctypes.c_int(dirfd),
        os.fsencode(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )


def setns(fd: int, kinds: int) -> None:
    """Enter the namespaces `kinds` of the process behind pidfd `fd` (kernel 5.8), all or none."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kinds)), "setns")


def umount2(path: str, flags: int) -> None:
    """Unmount what is mounted at `path`."""
    _checked(_libc.umount2(os.fsencode(path), ctypes.c_int(flags)), "umount2")


def mount(source: str, target: str, filesystem: str, flags: int, options: str) -> None:
    """mount(2)."""
    _checked(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            filesystem.encode(),
            ctypes.c_ulong(flags),
            os.fsencode(options),
        ),
        "mount",
    )


def unshare(kinds: int) -> None:
    """Leave the namespaces `kinds` for new ones."""
    _checked(_libc.unshare(ctypes.c_int(kinds)), "unshare")


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument."""
    _checked(
        _libc.prctl(
            ctypes.c_int(option), ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0)
        ),
        "prctl",
    )


def renameat2(old: str, new: str, flags: int) -> None:
    """rename(2) with RENAME_* flags."""
    _checked(
        _libc.renameat2(
            ctypes.c_int(AT_FDCWD),
            os.fsencode(old),
            ctypes.c_int(AT_FDCWD),
            os.fsencode(new),
            ctypes.c_uint(flags),
        ),
        "renameat2",
    )


def punch_hole(descriptor: int, offset: int, size: int) -> None:
    """Give the blocks of a part of a file back: it reads as zero then. EOPNOTSUPP where the file
    system cannot."""
    flags = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    _checked(
        _libc.fallocate(
            ctypes.c_int(descriptor),
            ctypes.c_int(flags),
            ctypes.c_int64(offset),
            ctypes.c_int64(size),
        ),
        "fallocate",
    )


def new_detached(filesystem: bytes, attributes: int) -> int:
    """A fresh, detached instance of `filesystem` that no path leads to."""
    context = fsopen(filesystem)
    try:
        fsconfig_create(context)
        return fsmount(context, attributes)
    finally:
        os.close(context)
