"""Writing an archive back through a placeholder's merged view, never into an upper directory.

Every path is opened below its root without following a link or crossing a mount, whatever the
container has there.
"""

import contextlib
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import IO, cast
from urllib.parse import unquote_to_bytes

import zstandard

from agent.files import roots
from agent.files.archive import END, MTIME, OPAQUE, XATTR, travels
from agent.kernel import calls
from chrek.errors import FilesRestoreError, FilesUnsupportedError
from chrek.manifest import FileRoot

_CHUNK_BYTES = 1 << 20
_HOLE_BYTES = 1 << 16
_ZEROS = bytes(_HOLE_BYTES)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_WITHIN = calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS | calls.RESOLVE_NO_XDEV


def apply(archive: int, file_roots: list[FileRoot], pid: int) -> None:
    """Write the archive behind descriptor `archive` into the container whose PID 1 is `pid`."""
    with contextlib.ExitStack() as stack:
        opened: list[int] = []
        for root in file_roots:
            try:
                opened.append(roots.open_point(pid, root.point))
            except (FilesUnsupportedError, FileNotFoundError) as error:
                raise FilesRestoreError(f"the placeholder has no {root.point}: {error}") from error
            stack.callback(os.close, opened[-1])
        reader = stack.enter_context(open(archive, "rb", closefd=False))
        stream = stack.enter_context(zstandard.ZstdDecompressor().stream_reader(reader))
        writer = _Writer(opened)
        try:
            tar = stack.enter_context(tarfile.open(mode="r|", fileobj=cast(IO[bytes], stream)))
            ended = False
            for entry in tar:
                ended = entry.name == END
                if not ended:
                    writer.write(entry, tar)
            if not ended:
                raise FilesRestoreError("the archive of files is cut off")
            writer.finish()
        except (tarfile.TarError, zstandard.ZstdError, ValueError, OSError) as error:
            raise FilesRestoreError(f"the archive of files cannot be read: {error}") from error


def holds_files(archive: int) -> bool:
    """Whether an archive has anything in it but its end."""
    with open(archive, "rb", closefd=False) as reader:
        try:
            with (
                zstandard.ZstdDecompressor().stream_reader(reader) as stream,
                tarfile.open(mode="r|", fileobj=cast(IO[bytes], stream)) as tar,
            ):
                first = tar.next()
        except (tarfile.TarError, zstandard.ZstdError, ValueError, OSError) as error:
            raise FilesRestoreError(f"the archive of files cannot be read: {error}") from error
        finally:
            os.lseek(archive, 0, os.SEEK_SET)
    return first is None or first.name != END


class _Writer:
    def __init__(self, opened: list[int]) -> None:
        self._roots = opened
        self._times: dict[tuple[int, str], int] = {}

    def write(self, entry: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
        """One entry, whatever stands in its place."""
        root, path = self._split(entry.name)
        try:
            with _parent(root, path) as (directory, name):
                self._place(entry, tar, root, directory, name)
        except (OSError, OverflowError, RecursionError) as error:
            raise FilesRestoreError(f"/{path} could not be written: {error}") from error

    def finish(self) -> None:
        """Directories get their times last: writing into them changed them."""
        for (root, path), nanoseconds in self._times.items():
            try:
                directory = calls.openat2(root, path, _DIRECTORY, resolve=_WITHIN)
            except OSError:
                continue  # a later entry put something else there
            try:
                os.utime(directory, ns=(nanoseconds, nanoseconds))
            finally:
                os.close(directory)

    def _split(self, name: str) -> tuple[int, str]:
        number, _, path = name.partition("/")
        if not number.isdigit() or int(number) >= len(self._roots) or not path:
            raise FilesRestoreError(f"the archive of files has an entry {name[:80]!r}")
        return self._roots[int(number)], path

    def _place(
        self, entry: tarfile.TarInfo, tar: tarfile.TarFile, root: int, directory: int, name: str
    ) -> None:
        if entry.ischr() and (entry.devmajor, entry.devminor) == (0, 0):
            _remove(directory, name)
            return
        if entry.isdir():
            self._place_directory(entry, directory, name)
            self._times[root, self._split(entry.name)[1]] = _mtime(entry)
            return
        _remove(directory, name)
        if entry.islnk():
            other_root, other = self._split(entry.linkname)
            with _parent(other_root, other) as (from_directory, from_name):
                os.link(
                    from_name,
                    name,
                    src_dir_fd=from_directory,
                    dst_dir_fd=directory,
                    follow_symlinks=False,
                )
            return
        if entry.issym():
            os.symlink(entry.linkname, name, dir_fd=directory)
        elif entry.isreg():
            _write_regular(entry, tar, directory, name)
        elif entry.isfifo():
            os.mkfifo(name, 0o600, dir_fd=directory)
        else:
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
            device = os.makedev(entry.devmajor, entry.devminor)
            os.mknod(name, kind | 0o600, device, dir_fd=directory)
        _dress(entry, directory, name)
        nanoseconds = _mtime(entry)
        os.utime(name, ns=(nanoseconds, nanoseconds), dir_fd=directory, follow_symlinks=False)

    def _place_directory(self, entry: tarfile.TarInfo, directory: int, name: str) -> None:
        _not_mounted(directory, name)
        try:
            is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode)
        except FileNotFoundError:
            is_directory = False
        if is_directory and OPAQUE in entry.pax_headers:
            _empty(directory, name)
        elif not is_directory:
            _remove(directory, name)
            os.mkdir(name, 0o700, dir_fd=directory)
        _dress(entry, directory, name)


@contextlib.contextmanager
def _parent(root: int, path: str) -> Iterator[tuple[int, str]]:
    """The directory that holds `path` and the last name of it."""
    above, _, name = path.rpartition("/")
    if name in ("", ".", ".."):
        raise FilesRestoreError(f"the archive of files has an entry {path[:80]!r}")
    directory = calls.openat2(root, above or ".", _DIRECTORY, resolve=_WITHIN)
    try:
        yield directory, name
    finally:
        os.close(directory)


def _mtime(entry: tarfile.TarInfo) -> int:
    return int(entry.pax_headers.get(MTIME, int(entry.mtime) * 10**9))


def _dress(entry: tarfile.TarInfo, directory: int, name: str) -> None:
    """Owner first: chown clears set-uid bits and capabilities."""
    os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    if entry.issym():
        return
    os.chmod(name, entry.mode, dir_fd=directory)
    path = f"/proc/self/fd/{directory}/{name}"
    attributes = {
        os.fsdecode(unquote_to_bytes(key.removeprefix(XATTR))): value
        for key, value in entry.pax_headers.items()
        if key.startswith(XATTR)
    }
    for attribute in filter(travels, os.listxattr(path, follow_symlinks=False)):
        if attribute not in attributes:
            os.removexattr(path, attribute, follow_symlinks=False)
    for attribute, value in attributes.items():
        content = value.encode("utf-8", "surrogateescape")
        os.setxattr(path, attribute, content, follow_symlinks=False)


def _write_regular(entry: tarfile.TarInfo, tar: tarfile.TarFile, directory: int, name: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        content = tar.extractfile(entry)
        offset = 0
        while content is not None and (piece := content.read(_CHUNK_BYTES)):
            _write_sparse(descriptor, piece, offset)
            offset += len(piece)
        os.ftruncate(descriptor, entry.size)
    finally:
        os.close(descriptor)


def _write_sparse(descriptor: int, piece: bytes, offset: int) -> None:
    """Blocks of zeros are left out: the file stays as sparse as it was, or gets so."""
    for start in range(0, len(piece), _HOLE_BYTES):
        block = piece[start : start + _HOLE_BYTES]
        if block != _ZEROS[: len(block)]:
            os.pwrite(descriptor, block, offset + start)


def _not_mounted(directory: int, name: str) -> None:
    """Raise OSError when something is mounted at `name`: it is not the source's to change, and
    from another mount namespace the kernel would let us delete the name from under it."""
    with contextlib.suppress(FileNotFoundError):
        os.close(calls.openat2(directory, name, os.O_PATH | os.O_NOFOLLOW, resolve=_WITHIN))


def _remove(directory: int, name: str) -> None:
    _not_mounted(directory, name)
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        _empty(directory, name)
        os.rmdir(name, dir_fd=directory)


def _empty(directory: int, name: str) -> None:
    below = calls.openat2(directory, name, _DIRECTORY, resolve=_WITHIN)
    try:
        for child in os.listdir(below):  # noqa: PTH208 - a descriptor
            _remove(below, child)
    finally:
        os.close(below)
