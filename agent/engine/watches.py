"""Watched files that CRIU does not find: overlayfs opens none by its handle.

CRIU is then given paths to look for the inode at. They are found here, while the source runs: in
the working directories first, where programs watch mostly, then in all of the container's root.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from agent.files import roots
from agent.kernel import mounts, process
from agent.kernel.process import Process
from agent.runtime.target import Target
from chrek.errors import FilesUnsupportedError, WatchError

_OVERLAY = "overlay"
_WATCH = re.compile(r"^(?:inotify wd|fanotify ino):.*$", re.MULTILINE)
_INODE = re.compile(r"\bino:([0-9a-f]+) sdev:([0-9a-f]+)\b")
_MINOR_BITS = 20


def paths(target: Target, tree: list[Process]) -> list[str]:
    """Paths of those, for `tree` of `target`; raises WatchError for one that has none."""
    seen = mounts.of(target.init)
    root = mounts.at(seen, "/")
    wanted = _watched(tree)
    if root is None or root.filesystem != _OVERLAY or not wanted:
        return []
    device = os.makedev(*(int(number) for number in root.device.split(":")))
    missing = {inode: who for (inode, on), who in wanted.items() if on == device}
    found: list[str] = []
    covered = frozenset(mount.point.lstrip("/") for mount in seen if mount.point != "/")
    for place in (*_working_directories(tree), ""):
        if missing:
            found += _below(target, place, covered, missing, device)
    if missing:
        raise WatchError(
            f"{next(iter(missing.values()))} in {target.name} watches a file that has no name any "
            "more, or is not seen as one of the container's root",
        )
    return found


def _watched(tree: list[Process]) -> dict[tuple[int, int], str]:
    """(inode, device) -> who watches it."""
    found: dict[tuple[int, int], str] = {}
    for each in tree:
        for number, where in process.descriptor_targets(each.host_pid).items():
            if where not in ("anon_inode:inotify", "anon_inode:[fanotify]"):
                continue
            try:
                text = Path(f"/proc/{each.host_pid}/fdinfo/{number}").read_text()
            except OSError:
                continue
            for inode, device in _inodes(text):
                found[inode, device] = f"{each.name} (PID {each.pid})"
    return found


def _inodes(text: str) -> Iterator[tuple[int, int]]:
    """Inode and device, as stat(2) has them, of each watch in a descriptor's fdinfo (proc(5))."""
    for row in _WATCH.findall(text):
        matched = _INODE.search(row)
        if matched:
            device = int(matched[2], 16)  # the kernel's own form
            minor = device & ((1 << _MINOR_BITS) - 1)
            yield int(matched[1], 16), os.makedev(device >> _MINOR_BITS, minor)


def _working_directories(tree: list[Process]) -> list[str]:
    found: set[str] = set()
    for each in tree:
        try:
            found.add(os.readlink(f"/proc/{each.host_pid}/cwd").lstrip("/"))  # noqa: PTH115
        except OSError:
            continue
    return sorted(found - {""})


def _below(
    target: Target, place: str, covered: frozenset[str], missing: dict[int, str], device: int
) -> list[str]:
    """Paths of those of `missing` that are at or below `place`; they are taken out of it."""
    found: list[str] = []
    try:
        directory = roots.open_point(target.init, f"/{place}")
    except FilesUnsupportedError:
        return []  # deleted, or of a volume
    try:
        status = os.fstat(directory)
        if status.st_dev != device:
            return []
        if missing.pop(status.st_ino, None) is not None:
            found.append(f"/{place}")
        for path, inode in _walk(directory, f"{place}/" if place else "", covered):
            if missing.pop(inode, None) is not None:
                found.append(f"/{path}")
            if not missing:
                break
    except (RecursionError, OSError):
        return found  # too deep, or changed while we looked: what is still missing is told
    finally:
        os.close(directory)
    return found


def _walk(directory: int, prefix: str, covered: frozenset[str]) -> Iterator[tuple[str, int]]:
    """Paths and inodes of everything below, as the directories tell them: a container's root has
    hundreds of thousands of files, and asking for each takes ten times as long."""
    inner: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if f"{prefix}{entry.name}" in covered:
                continue
            yield f"{prefix}{entry.name}", entry.inode()
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
    for name in inner:
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        except OSError:
            continue  # it went while we looked
        try:
            yield from _walk(below, f"{prefix}{name}/", covered)
        finally:
            os.close(below)
