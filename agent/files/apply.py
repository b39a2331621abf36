"""Writing an archive back through a placeholder's merged view, never into an upper directory.

Every path is opened below its root without following a link or crossing a mount, whatever the
container has there. In volumes and in /dev/shm, which other containers of the pod share, nothing is
deleted that was not put there by this archive.
"""

import contextlib
import os
import stat
import tarfile
from dataclasses import dataclass, field
from tarfile import TarInfo
from typing import IO, cast

import zstandard

from agent.files import below, entry, roots, shared
from agent.files.archive import END, OPAQUE
from agent.files.shared import Root
from agent.kernel import calls
from chrek.errors import ChrekError, FilesRestoreError, FilesUnsupportedError
from chrek.manifest import FileRoot


@dataclass(frozen=True, slots=True)
class Written:
    """What a restore brought into the container whose PID 1 is `pid`, to places that outlive it.

    made: mount point -> paths that were not there before.
    """

    pid: int
    made: dict[str, set[str]] = field(default_factory=dict)

    def withdraw(self) -> None:
        """Take it away again, so that no cold start finds it. What it replaced is lost."""
        for point, paths in self.made.items():
            with contextlib.suppress(ChrekError, OSError):
                descriptor = roots.open_point(self.pid, point)
                try:
                    shared.take_back(Root(descriptor, shared=True, made=paths), "")
                finally:
                    os.close(descriptor)


def apply(
    archive: int, file_roots: list[FileRoot], written: Written, *, restart: bool = False
) -> None:
    """Write the archive behind descriptor `archive` into a container; raises FilesRestoreError.

    written: takes note of what has to be withdrawn when the restore fails, here or later.
    restart: the container ran before in this pod. What it left in volumes is newer: it stays.
    """
    with contextlib.ExitStack() as stack:
        opened: list[Root | None] = []
        for root in file_roots:
            if restart and root.kind == "volume":
                opened.append(None)
                continue
            try:
                descriptor = roots.open_point(written.pid, root.point)
            except (FilesUnsupportedError, FileNotFoundError) as error:
                raise FilesRestoreError(f"the placeholder has no {root.point}: {error}") from error
            stack.callback(os.close, descriptor)
            place = Root(descriptor, shared=_is_shared(root))
            opened.append(place)
            if place.shared:
                written.made[root.point] = place.made
        reader = stack.enter_context(open(archive, "rb", closefd=False))
        stream = stack.enter_context(zstandard.ZstdDecompressor().stream_reader(reader))
        writer = _Writer(opened)
        try:
            tar = stack.enter_context(tarfile.open(mode="r|", fileobj=cast(IO[bytes], stream)))
            ended = False
            for told in tar:
                ended = told.name == END
                if not ended:
                    writer.write(told, tar)
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
    def __init__(self, opened: list[Root | None]) -> None:
        self._roots = opened
        self._times: dict[tuple[int, str], int] = {}

    def write(self, told: TarInfo, tar: tarfile.TarFile) -> None:
        """One entry, whatever stands in its place."""
        root, path = self._split(told.name)
        if root is None:
            return
        try:
            with below.parent(root.descriptor, path) as (directory, name):
                if _is_deletion(told):
                    if root.shared:
                        shared.take_back(root, path)
                    else:
                        below.remove(directory, name)
                    return
                if root.shared:
                    shared.make_way(root, path, directory, name, for_directory=told.isdir())
                if told.isdir():
                    _place_directory(told, directory, name, shared=root.shared)
                    self._times[root.descriptor, path] = entry.mtime(told)
                else:
                    below.remove(directory, name)
                    self._place(told, tar, directory, name)
        except (OSError, OverflowError, RecursionError) as error:
            raise FilesRestoreError(f"/{path} could not be written: {error}") from error

    def finish(self) -> None:
        """Directories get their times last: writing into them changed them."""
        for (root, path), nanoseconds in self._times.items():
            try:
                directory = calls.openat2(root, path, below.DIRECTORY, resolve=below.WITHIN)
            except OSError:
                continue  # a later entry put something else there
            try:
                os.utime(directory, ns=(nanoseconds, nanoseconds))
            finally:
                os.close(directory)

    def _split(self, name: str) -> tuple[Root | None, str]:
        number, _, path = name.partition("/")
        if not number.isdigit() or int(number) >= len(self._roots) or not path:
            raise FilesRestoreError(f"the archive of files has an entry {name[:80]!r}")
        return self._roots[int(number)], path

    def _place(self, told: TarInfo, tar: tarfile.TarFile, directory: int, name: str) -> None:
        if not told.islnk():
            entry.make(told, tar, directory, name)
            return
        root, path = self._split(told.linkname)
        if root is None:
            raise FilesRestoreError(f"a link leads to /{path}, which is not restored")
        with below.parent(root.descriptor, path) as (from_directory, from_name):
            os.link(
                from_name,
                name,
                src_dir_fd=from_directory,
                dst_dir_fd=directory,
                follow_symlinks=False,
            )


def _is_shared(root: FileRoot) -> bool:
    """All containers of a pod have the same /dev/shm."""
    return root.kind == "volume" or root.point == roots.SHM


def _is_deletion(told: TarInfo) -> bool:
    return told.ischr() and (told.devmajor, told.devminor) == (0, 0)


def _place_directory(told: TarInfo, directory: int, name: str, *, shared: bool) -> None:
    below.not_mounted(directory, name)
    try:
        is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode)
    except FileNotFoundError:
        is_directory = False
    if not is_directory:
        below.remove(directory, name)
        os.mkdir(name, 0o700, dir_fd=directory)
    elif OPAQUE in told.pax_headers and not shared:
        below.empty(directory, name)
    with below.held(directory, name) as descriptor:
        entry.dress(told, descriptor)
