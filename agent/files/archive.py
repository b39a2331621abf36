"""files.tar.zst: most of it written while the source runs, only the changes while it is frozen.

A POSIX (pax) tar of sections, one a root, named by the root's number: `0/etc/motd`. An entry that
occurs again replaces the earlier one. A character device 0:0 is a deletion, as overlayfs has it.
"""

import os
import stat
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, cast
from urllib.parse import quote_from_bytes

import zstandard

from agent.files import mapped, measure, roots
from agent.files.roots import SourceRoot
from agent.files.walk import Found, Signature, walk
from chrek.errors import FilesUnsupportedError, StorageError

XATTR: Final = "SCHILY.xattr."
MTIME: Final = "CHREK.mtime_ns"
OPAQUE: Final = "CHREK.opaque"
END: Final = "end"
"""Name of the last entry: an archive without it was cut off."""

_LEVEL = 1
_TICK_NS = 20_000_000
_OVERLAY = "trusted.overlay."
# overlayfs moves these between its layers in ways that a copy of the upper layer does not carry.
_REFUSED = ("trusted.overlay.redirect", "trusted.overlay.metacopy")


@dataclass
class Archive:
    """An archive being written for the container whose PID 1 is `pid`.

    Call `copy` while the source runs and again while it is frozen: the second time only what
    changed is written.
    """

    path: Path
    pid: int
    sources: list[SourceRoot]
    limit_bytes: int
    _seen: dict[str, Signature] = field(default_factory=dict, init=False)
    _hiding: set[str] = field(default_factory=set, init=False)
    _links: dict[tuple[int, int], str] = field(default_factory=dict, init=False)
    _copied_bytes: dict[str, int] = field(default_factory=dict, init=False)
    _measured: bool = field(default=False, init=False)

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("wb")
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        self._stream = zstandard.ZstdCompressor(level=_LEVEL).stream_writer(self._file)
        self._tar = tarfile.open(
            mode="w|", fileobj=cast(IO[bytes], self._stream), format=tarfile.PAX_FORMAT
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._tar.addfile(tarfile.TarInfo(END))
                self._tar.close()
                self._stream.close()  # type: ignore[no-untyped-call]
        except OSError as failure:
            raise StorageError(f"{self.path}: {failure.strerror}") from failure
        finally:
            self._file.close()

    def copy(self) -> None:
        """Write what is new since the last call; raises FilesTooLargeError, StorageError."""
        # A file system's clock may tick only every few ms (before Linux 6.13): what changed just
        # now can change again without a trace, so the next call writes it again.
        before_ns = time.time_ns() - _TICK_NS
        now: dict[str, Signature] = {}
        try:
            if not self._measured:
                measure.within(self.pid, self.sources, self.limit_bytes)
                self._measured = True
            shared = mapped.paths(self.pid)
            for number, source in enumerate(self.sources):
                self._links.clear()  # no link leads from one mount to another
                with roots.opened(self.pid, source) as directory:
                    written = mapped.identities(shared, source.root.point, directory)
                    emptied = "/"  # no name begins so
                    for found in walk(directory, source.excluded):
                        name = f"{number}/{found.path}"
                        now[name] = found.settled(before_ns)
                        again = found.identity in written or name.startswith(emptied)
                        if not again and self._seen.get(name) == found.signature:
                            continue
                        try:
                            hides = self._add(found, name, source)
                        except FileNotFoundError:
                            del now[name]  # removed while we looked; while frozen, by others
                            continue
                        if hides and not name.startswith(emptied):
                            emptied = f"{name}/"
            for name in _deleted(self._seen, now):
                self._add_deletion(name)
        except OSError as error:
            raise StorageError(f"copying the container's files: {error}") from error
        except RecursionError as error:
            raise FilesUnsupportedError("directories are too deep to be copied") from error
        self._seen = now

    def _add(self, found: Found, name: str, source: SourceRoot) -> bool:
        """Write one entry; whether whatever stood below its name goes with it."""
        entry = tarfile.TarInfo(name)
        entry.mode = stat.S_IMODE(found.stat.st_mode)
        entry.uid, entry.gid = found.stat.st_uid, found.stat.st_gid
        entry.mtime = int(found.stat.st_mtime)
        attributes = _xattrs(found, overlay=source.upper is not None)
        entry.pax_headers = {MTIME: str(found.stat.st_mtime_ns), **attributes}
        if OPAQUE in entry.pax_headers and name in self._hiding and name in self._seen:
            del entry.pax_headers[OPAQUE]  # told before; what came since must stay
        hides = OPAQUE in entry.pax_headers
        if hides:
            self._hiding.add(name)
        mode = found.stat.st_mode
        if stat.S_ISREG(mode):
            self._add_regular(found, entry, source.root.point)
            return hides
        if stat.S_ISDIR(mode):
            entry.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(mode):
            entry.type = tarfile.SYMTYPE
            entry.linkname = os.readlink(found.name, dir_fd=found.directory)
        elif stat.S_ISFIFO(mode):
            entry.type = tarfile.FIFOTYPE
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            entry.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
            entry.devmajor = os.major(found.stat.st_rdev)
            entry.devminor = os.minor(found.stat.st_rdev)
        else:
            self._add_deletion(name)  # a socket: CRIU makes it again when it binds
            return hides
        self._tar.addfile(entry)
        return hides

    def _add_regular(self, found: Found, entry: tarfile.TarInfo, point: str) -> None:
        if found.stat.st_nlink > 1 and found.identity in self._links:
            entry.type = tarfile.LNKTYPE
            entry.linkname = self._links[found.identity]
            self._tar.addfile(entry)
            return
        descriptor = found.open()
        self._links[found.identity] = entry.name
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            entry.size = found.stat.st_size
            self._copied_bytes[point] = self._copied_bytes.get(point, 0) + entry.size
            if sum(self._copied_bytes.values()) > self.limit_bytes:
                raise measure.too_large(self._copied_bytes, self.limit_bytes)
            self._tar.addfile(entry, cast(IO[bytes], _Exactly(file, entry.size)))

    def _add_deletion(self, name: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type = tarfile.CHRTYPE
        self._tar.addfile(entry)


class _Exactly:
    """Reads `size` bytes of a file that may shrink meanwhile: zeros then, and the copy made
    while the source is frozen replaces it."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        piece = self._file.read(min(size, self._left)) or bytes(min(size, self._left))
        self._left -= len(piece)
        return piece + (self.read(size - len(piece)) if len(piece) < size and self._left else b"")


def _xattrs(found: Found, *, overlay: bool) -> dict[str, str]:
    if stat.S_ISLNK(found.stat.st_mode):
        return {}
    headers: dict[str, str] = {}
    for name in os.listxattr(found.link, follow_symlinks=False):
        value = os.getxattr(found.link, name, follow_symlinks=False)
        if overlay and name in _REFUSED:
            raise FilesUnsupportedError(
                f"/{found.path} was moved by overlayfs ({name}), which cannot be carried",
                hint="Mount overlays with redirect_dir=off and metacopy=off",
            )
        if overlay and name == "trusted.overlay.opaque":
            headers[OPAQUE] = "y"
        elif travels(name):
            # A pax key ends at "=" and is UTF-8; GNU tar quotes likewise.
            key = XATTR + quote_from_bytes(os.fsencode(name), safe="/")
            headers[key] = value.decode("utf-8", "surrogateescape")
    return headers


def travels(attribute: str) -> bool:
    """Whether an extended attribute is the container's own: labels are the placeholder's."""
    if attribute.startswith("security."):
        return attribute == "security.capability"
    return not attribute.startswith(_OVERLAY)


def _deleted(before: Mapping[str, Signature], now: Mapping[str, Signature]) -> Iterator[str]:
    """Names that are gone, but for those that went with the directory they were in."""
    for name in sorted(before.keys() - now.keys()):
        above, _, _ = name.rpartition("/")
        kept = now.get(above)
        if above.isdigit() or (kept is not None and stat.S_ISDIR(kept[1])):
            yield name
