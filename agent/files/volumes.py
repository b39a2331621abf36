"""Which of a container's mounts the kubelet made, told by where they are on the host.

A volume on disk shows its place in mountinfo's root; one on a tmpfs (Secrets, tokens, emptyDirs in
memory) shows "/" and is found among the mounts of the host.
"""

import re
from pathlib import Path

from agent.kernel import mounts, process
from agent.kernel.mounts import Mount

EMPTY_DIR = "empty-dir"
_PLACE = re.compile(r"/volumes/kubernetes\.io~([a-z-]+)/[^/]+(?:/|\Z)")


class Host:
    """The host of the container whose PID 1 is `pid`, as the container's parent sees it: the
    runtime, which has made its mounts. (PID 1 of the node need not see what the kubelet mounts.)
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._lines: list[str] | None = None

    def plugin(self, mount: Mount) -> str | None:
        """What kind of volume a mount is by the kubelet's name (`empty-dir`, `configmap`,
        `secret`, `projected`, `downward-api`, `csi`, ...), or None for none of the kubelet's."""
        found = _PLACE.search(mount.root)
        if found is None and mount.filesystem == "tmpfs":
            found = next(filter(None, map(_PLACE.search, self.points(mount))), None)
        return found[1] if found else None

    def points(self, mount: Mount) -> list[str]:
        """Where the host has the file system of a container's mount."""
        if self._lines is None:
            parent = process.read(self._pid).parent
            text = Path(f"/proc/{parent}/mountinfo").read_text(errors="surrogateescape")
            self._lines = text.split("\n")
        # A node may have thousands of mounts: only those of this device are parsed.
        device = f" {mount.device} "
        return [mounts.parse(line).point for line in self._lines if device in line]
