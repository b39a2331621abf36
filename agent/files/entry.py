"""One entry of an archive made a file again: content, owner, mode, attributes, time.

Others in the container, or in one that shares the volume, may swap a name for a link or for a
file of theirs at any moment: whatever gives rights goes to a descriptor, not to a name.
"""

import os
import stat
import tarfile
from urllib.parse import unquote_to_bytes

from agent.files import below
from agent.files.archive import MTIME, XATTR, travels

_CHUNK_BYTES = 1 << 20
_HOLE_BYTES = 1 << 16
_ZEROS = bytes(_HOLE_BYTES)


def make(entry: tarfile.TarInfo, tar: tarfile.TarFile, directory: int, name: str) -> None:
    """Make what is neither a directory nor a link to another entry; `name` must be free."""
    if entry.issym():
        os.symlink(entry.linkname, name, dir_fd=directory)
        os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    elif entry.isreg():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            _write(entry, tar, descriptor)
            dress(entry, descriptor)
        finally:
            os.close(descriptor)
    else:
        if entry.isfifo():
            os.mkfifo(name, 0o600, dir_fd=directory)
        else:
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
            device = os.makedev(entry.devmajor, entry.devminor)
            os.mknod(name, kind | 0o600, device, dir_fd=directory)
        with below.held(directory, name) as descriptor:
            dress(entry, descriptor)
    nanoseconds = mtime(entry)
    os.utime(name, ns=(nanoseconds, nanoseconds), dir_fd=directory, follow_symlinks=False)


def mtime(entry: tarfile.TarInfo) -> int:
    """Its modification time in nanoseconds."""
    return int(entry.pax_headers.get(MTIME, int(entry.mtime) * 10**9))


def dress(entry: tarfile.TarInfo, descriptor: int) -> None:
    """Owner first: chown clears set-uid bits and capabilities."""
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        raise OSError("it was replaced by a link")
    path = f"/proc/self/fd/{descriptor}"
    os.chown(path, entry.uid, entry.gid)
    os.chmod(path, entry.mode)  # noqa: PTH101 - a descriptor
    attributes = {
        os.fsdecode(unquote_to_bytes(key.removeprefix(XATTR))): value
        for key, value in entry.pax_headers.items()
        if key.startswith(XATTR)
    }
    for attribute in filter(travels, os.listxattr(path)):
        if attribute not in attributes:
            os.removexattr(path, attribute)
    for attribute, value in attributes.items():
        os.setxattr(path, attribute, value.encode("utf-8", "surrogateescape"))


def _write(entry: tarfile.TarInfo, tar: tarfile.TarFile, descriptor: int) -> None:
    content = tar.extractfile(entry)
    offset = 0
    while content is not None and (piece := content.read(_CHUNK_BYTES)):
        _write_sparse(descriptor, piece, offset)
        offset += len(piece)
    os.ftruncate(descriptor, entry.size)


def _write_sparse(descriptor: int, piece: bytes, offset: int) -> None:
    """Blocks of zeros are left out: the file stays as sparse as it was, or gets so."""
    for start in range(0, len(piece), _HOLE_BYTES):
        block = piece[start : start + _HOLE_BYTES]
        if block != _ZEROS[: len(block)]:
            os.pwrite(descriptor, block, offset + start)
