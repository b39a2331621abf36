"""Which of a container's mounts hold what it wrote, and where the agent can read them.

Its overlay, its tmpfs mounts, and its emptyDirs. Every other volume is the user's own data.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from agent.files.volumes import EMPTY_DIR, Host
from agent.kernel import calls, mounts, process
from agent.kernel.mounts import Mount
from chrek.errors import FilesUnsupportedError
from chrek.manifest import FileRoot
from chrek.names import CHREK_DIR

Kind = Literal["overlay", "tmpfs", "volume"]

# The runtime fills these anew for every container.
_RUNTIME_POINTS = ("/dev", "/proc", "/sys", CHREK_DIR)
SHM: Final = "/dev/shm"  # noqa: S108 - a name


@dataclass(frozen=True, slots=True)
class SourceRoot:
    """One root of the source. upper: the overlay's upper directory as the host sees it, None for
    any other. excluded: paths below the point, relative, that other mounts cover."""

    root: FileRoot
    upper: str | None
    excluded: frozenset[str]


def of(pid: int) -> list[SourceRoot]:
    """The roots of the container whose PID 1 is `pid`; raises FilesUnsupportedError."""
    found = _every(pid)
    return [root for mount, root in found if not _within_another(mount, root, found)]


def points(pid: int) -> set[str]:
    """Where a container has roots; a volume that is mounted twice has two."""
    return {root.root.point for _, root in _every(pid)}


def _every(pid: int) -> list[tuple[Mount, SourceRoot]]:
    seen, host = mounts.of(pid), Host(pid)
    found: list[tuple[Mount, SourceRoot]] = []
    for mount in seen:
        kind = _kind(mount, seen, host)
        if kind is None:
            continue
        upper = mount.super_option("upperdir") if kind == "overlay" else None
        if kind == "overlay" and upper is None:
            continue  # an overlay without an upper layer cannot be written
        if kind == "volume" and not _is_directory(pid, mount.point):
            continue
        excluded = frozenset(
            os.path.relpath(other.point, mount.point)
            for other in seen
            if other.point != mount.point and _below(other.point, mount.point)
        )
        found.append((mount, SourceRoot(FileRoot(mount.point, kind), upper, excluded)))
    return found


def _kind(mount: Mount, seen: list[Mount], host: Host) -> Kind | None:
    if mounts.at(seen, mount.point) is not mount or "ro" in mount.options:
        return None
    if mount.point == "/":
        return "overlay" if mount.filesystem == "overlay" else None
    if mount.point == SHM:
        return _shm(mount, host)
    if any(mount.point == point or _below(mount.point, point) for point in _RUNTIME_POINTS):
        return None
    plugin = host.plugin(mount)
    if plugin is not None:
        return "volume" if plugin == EMPTY_DIR else None
    own = mount.filesystem == "tmpfs" and mount.root == "/" and not host.points(mount)
    return "tmpfs" if own else None


def _shm(mount: Mount, host: Host) -> Kind | None:
    """Memory of the processes rather than data: it goes with them, whoever made the mount. But
    with hostIPC it is the host's."""
    is_volume = host.plugin(mount) == EMPTY_DIR
    if mount.filesystem != "tmpfs":
        return "volume" if is_volume else None
    hosts = mount.root != "/" or SHM in host.points(mount)
    return None if hosts and not is_volume else "tmpfs"


def _is_directory(pid: int, point: str) -> bool:
    """A subPath may be a single file."""
    try:
        os.close(open_point(pid, point))
    except FilesUnsupportedError:
        return False
    return True


def _within_another(mount: Mount, root: SourceRoot, found: list[tuple[Mount, SourceRoot]]) -> bool:
    """Whether all of a volume is copied at another place: a volume may be mounted twice, or a
    subPath beside the whole."""
    for other, other_root in found:
        if other is mount or (other.device, other_root.root.kind) != (mount.device, "volume"):
            continue
        if other.root == mount.root:
            if other.id < mount.id:
                return True
        elif _below(mount.root, other.root):
            inner = os.path.relpath(mount.root, other.root)
            if not any(inner == path or _below(inner, path) for path in other_root.excluded):
                return True
    return False


def _below(path: str, point: str) -> bool:
    return path.startswith(point.rstrip("/") + "/")


@contextmanager
def opened(pid: int, source: SourceRoot) -> Iterator[int]:
    """A directory descriptor on what a root holds."""
    if source.upper is not None:
        descriptor = _open_upper(pid, source.upper)
    else:
        descriptor = open_point(pid, source.root.point)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_upper(pid: int, upper: str) -> int:
    """As the process sees it that has made the container's mounts: the runtime's shim, its parent.
    The agent's own root is that of its image."""
    root = os.open(f"/proc/{process.read(pid).parent}/root", os.O_PATH | os.O_DIRECTORY)
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY
        return calls.openat2(root, upper.lstrip("/"), flags, resolve=calls.RESOLVE_IN_ROOT)
    finally:
        os.close(root)


def open_point(pid: int, point: str) -> int:
    """A mount point of a container, from outside, without following the container's links."""
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return calls.openat2(
            root,
            point.lstrip("/") or ".",
            os.O_RDONLY | os.O_DIRECTORY,
            resolve=calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS,
        )
    except OSError as error:
        raise FilesUnsupportedError(f"{point} of the container: {error.strerror}") from error
    finally:
        os.close(root)
