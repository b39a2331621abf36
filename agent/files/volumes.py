"""Which of a container's mounts the kubelet made, told by where they are on the host.

A volume on disk shows its place in mountinfo's root; one on a tmpfs (Secrets, tokens, emptyDirs in
memory) shows "/" and is found among the mounts of the host.
"""

import re
from pathlib import Path

from agent.kernel import mounts
from agent.kernel.mounts import Mount

EMPTY_DIR = "empty-dir"
_PLACE = re.compile(r"/volumes/kubernetes\.io~([a-z-]+)/[^/]+(?:/|\Z)")
_HOST = ("1", "self")
"""PID 1 is the host's, where it is seen; on one machine chrek's own mounts are the host's."""


def plugin(mount: Mount) -> str | None:
    """What kind of volume it is by the kubelet's name (`empty-dir`, `configmap`, `secret`,
    `projected`, `downward-api`, `csi`, ...), or None for what is none of the kubelet's."""
    found = _PLACE.search(mount.root)
    if found is None and mount.filesystem == "tmpfs":
        found = next(filter(None, map(_PLACE.search, host_points(mount))), None)
    return found[1] if found else None


def host_points(mount: Mount) -> list[str]:
    """Where the host has the file system of a container's mount."""
    points: list[str] = []
    for pid in _HOST:
        try:
            text = Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            continue
        # A node may have thousands of mounts: only those of this device are parsed.
        device = f" {mount.device} "
        points += [mounts.parse(line).point for line in text.split("\n") if device in line]
    return points
