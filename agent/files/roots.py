"""Which of a container's mounts hold what it wrote, and where the agent can read them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from agent.kernel import calls, mounts
from agent.kernel.mounts import Mount
from chrek.errors import FilesUnsupportedError
from chrek.manifest import FileRoot
from chrek.names import CHREK_DIR

# The runtime fills these anew for every container.
_RUNTIME_POINTS = ("/dev", "/proc", "/sys", CHREK_DIR)


@dataclass(frozen=True, slots=True)
class SourceRoot:
    """One root of the source. upper: the overlay's upper directory as the host sees it, None for
    a tmpfs. excluded: paths below the point, relative, that other mounts cover."""

    root: FileRoot
    upper: str | None
    excluded: frozenset[str]


def of(pid: int) -> list[SourceRoot]:
    """The roots of the container whose PID 1 is `pid`; raises FilesUnsupportedError."""
    seen = mounts.of(pid)
    found: list[SourceRoot] = []
    for mount in seen:
        kind = _kind(mount, seen)
        if kind is None:
            continue
        upper = mount.super_option("upperdir") if kind == "overlay" else None
        if kind == "overlay" and upper is None:
            continue  # an overlay without an upper layer cannot be written
        excluded = frozenset(
            os.path.relpath(other.point, mount.point)
            for other in seen
            if other.point != mount.point and _below(other.point, mount.point)
        )
        found.append(SourceRoot(FileRoot(mount.point, kind), upper, excluded))
    return found


def _kind(mount: Mount, seen: list[Mount]) -> Literal["overlay", "tmpfs"] | None:
    if mounts.at(seen, mount.point) is not mount or "ro" in mount.options:
        return None
    if mount.filesystem == "overlay" and mount.point == "/":
        return "overlay"
    if mount.filesystem != "tmpfs" or mount.root != "/":
        return None
    runtime = any(mount.point == p or _below(mount.point, p) for p in _RUNTIME_POINTS)
    return "tmpfs" if not runtime or mount.point == "/dev/shm" else None  # noqa: S108


def _below(path: str, point: str) -> bool:
    return path.startswith(point.rstrip("/") + "/")


@contextmanager
def opened(pid: int, source: SourceRoot) -> Iterator[int]:
    """A directory descriptor on what a root holds."""
    if source.upper is not None:
        descriptor = os.open(source.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        descriptor = open_point(pid, source.root.point)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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
