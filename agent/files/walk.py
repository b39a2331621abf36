"""Going through a directory of the container's by descriptor, following no link of it."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

Signature = tuple[int, int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """One path below a root, and its parent directory's descriptor while it is visited."""

    directory: int
    name: str
    path: str
    stat: os.stat_result

    @property
    def identity(self) -> tuple[int, int]:
        return (self.stat.st_dev, self.stat.st_ino)

    @property
    def signature(self) -> Signature:
        s = self.stat
        return (s.st_ino, s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, s.st_ctime_ns)

    def settled(self, before_ns: int) -> Signature:
        """The signature, or one that nothing equals for what changed later than `before_ns`."""
        *others, changed = self.signature
        return (*others, changed if changed < before_ns else -1)  # type: ignore[return-value]

    def open(self) -> int:
        """A descriptor to read the regular file that was found; FileNotFoundError when another
        has its name now: a device that the container itself may not read, perhaps."""
        held = os.open(self.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.directory)
        try:
            now = os.fstat(held)
            if (now.st_dev, now.st_ino, stat.S_IFMT(now.st_mode)) != (
                *self.identity,
                stat.S_IFMT(self.stat.st_mode),
            ):
                raise FileNotFoundError(errno.ENOENT, "another file has its name", self.path)
            return os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(held)

    @property
    def link(self) -> str:
        return f"/proc/self/fd/{self.directory}/{self.name}"


def walk(directory: int, excluded: frozenset[str], prefix: str = "") -> Iterator[Found]:
    """Everything below `directory`, a directory before what is in it."""
    for name in sorted(os.listdir(directory)):
        path = f"{prefix}{name}"
        if path in excluded:
            continue
        try:
            found = Found(directory, name, path, os.lstat(name, dir_fd=directory))
        except FileNotFoundError:
            continue  # removed while we looked; while frozen only others can
        yield found
        if stat.S_ISDIR(found.stat.st_mode):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            try:
                below = os.open(name, flags, dir_fd=directory)
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                yield from walk(below, excluded, f"{path}/")
            finally:
                os.close(below)
