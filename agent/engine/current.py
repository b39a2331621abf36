"""Where the files of a source's volumes are in a placeholder.

The kubelet writes ConfigMaps, Secrets, tokens and pod facts into a directory named by the time
(`..2026_11_24_17_45_00.123456789`) that a link `..data` leads to, so it has another name in every
pod. Other files belong to one pod or container: /etc/hosts and its like.
"""

import errno
import os
import re

from agent.criu.moved import Here
from agent.files import roots
from agent.kernel import calls, mounts
from agent.kernel.mounts import Mount
from agent.runtime.target import Target
from chrek.errors import FilesUnsupportedError, VolumeFileGoneError

_LINK = "..data"
_STAMP = re.compile(r"\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+")
# A key, or a directory of keys, mounted by itself (subPath).
_STAMPED = re.compile(rf"/{_STAMP.pattern}/")
_POINTS = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"}
# terminationMessagePath may be any.
_CONTAINERS_OWN = re.compile(r"/pods/[^/]+/(containers/[^/]+/|etc-hosts\Z)")
_WITHIN = calls.RESOLVE_BENEATH | calls.RESOLVE_NO_SYMLINKS
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


class Current:
    """What the placeholder has. Nothing in it is trusted to lead where it should."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._mounts = {mount.point: mount for mount in mounts.of(target.init)}

    def look(self, path: str) -> Here | None:
        """The placeholder's own for a path of the source; None where that is the same file.

        Raises VolumeFileGoneError.
        """
        mount = self._holding(path)
        if mount is None:
            return None
        first, _, rest = path.removeprefix(mount.point).lstrip("/").partition("/")
        if _STAMP.fullmatch(first):
            return self._stamped(mount.point, rest)
        own = path == mount.point and (path in _POINTS or _CONTAINERS_OWN.search(mount.root))
        if own or _STAMPED.search(mount.root):
            root = os.open(self._target.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return _at(root, path.lstrip("/"), path)
            finally:
                os.close(root)
        return None

    def _holding(self, path: str) -> Mount | None:
        """The mount that a path is on."""
        point = path
        while point.startswith("/"):
            found = self._mounts.get(point)
            if found is not None or point == "/":
                return found
            point = point.rpartition("/")[0] or "/"
        return None

    def _stamped(self, point: str, rest: str) -> Here | None:
        try:
            directory = roots.open_point(self._target.init, point)
        except FilesUnsupportedError:
            return None
        try:
            try:
                current = os.readlink(_LINK, dir_fd=directory)
            except OSError:
                return None  # not the kubelet's: it has to be as it was
            if not _STAMP.fullmatch(current):
                raise VolumeFileGoneError(f"{point}/{_LINK} leads to {current[:80]!r}")
            inner = f"{current}/{rest}" if rest else current
            return _at(directory, inner, f"{point}/{inner}")
        finally:
            os.close(directory)


def _at(directory: int, path: str, shown: str) -> Here:
    """What is at `path` below `directory`, by the name that CRIU is to open."""
    try:
        found = calls.openat2(directory, path, os.O_PATH | os.O_NOFOLLOW, resolve=_WITHIN)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        raise VolumeFileGoneError(
            f"{shown} was in use in the source, and this pod's volume does not have it",
            hint="The ConfigMap or Secret has lost a key since the capture",
        ) from error
    try:
        status = os.fstat(found)
    finally:
        os.close(found)
    return Here(shown, status.st_mode, status.st_size)
