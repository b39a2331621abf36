"""Where a node's runtime listens, and how the agent, in its container, gets there."""

from pathlib import Path

USUAL = (
    Path("/run/containerd/containerd.sock"),
    Path("/run/k3s/containerd/containerd.sock"),
    Path("/run/crio/crio.sock"),
    Path("/var/run/cri-dockerd.sock"),
)
"""Paths on the host, in the order in which they are tried."""

_RUN = Path("/run")
_RUN_OF_OLD = Path("/var/run")  # on every distribution a link to /run
_HOST_RUN = Path("/host/run")  # where the chart mounts the host's /run
_HOST_ROOT = Path("/proc/1/root")


def seen(path: Path) -> Path:
    """A path on the host as the agent sees it: below its mount of /run, or else behind PID 1.

    By way of the mount where that is possible: an absolute link leads back out of /proc/1/root.
    Without the mount the agent is on the host itself.
    """
    if not _HOST_RUN.is_dir():
        return path
    if path.is_relative_to(_RUN_OF_OLD):
        path = _RUN / path.relative_to(_RUN_OF_OLD)
    if path.is_relative_to(_RUN):
        return _HOST_RUN / path.relative_to(_RUN)
    return _HOST_ROOT / path.relative_to("/")
