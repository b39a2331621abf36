"""Open files in CRIU's images that a process of the container could not have opened. Pure.

CRIU opens and makes them with all rights. Paths are not looked at: they are resolved in the
container's own mounts, and its device cgroup holds for CRIU too.
"""

import stat
from typing import Any, Final

from agent.trust import capabilities
from agent.trust.decoded import Decoded
from agent.trust.rights import Container
from chrek.errors import ExceedsError

_ANYBODYS: Final = frozenset(
    {
        *("REG", "PIPE", "FIFO", "INETSK", "UNIXSK", "EVENTFD", "EVENTPOLL", "INOTIFY"),
        *("SIGNALFD", "TTY", "NETLINKSK", "TIMERFD", "MEMFD", "PIDFD"),
    }
)
_PRIVILEGED: Final = {
    "PACKETSK": capabilities.NET_RAW,
    "TUNF": capabilities.NET_ADMIN,
    "FANOTIFY": capabilities.SYS_ADMIN,
}
_SOCK_RAW: Final = 3
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID


def check(decoded: Decoded, container: Container) -> None:
    """Raise ExceedsError for the first that the container could not have."""
    for entry in decoded.entries("files.img"):
        _file(entry, container)
    for name, ghost in decoded.heads("ghost-file-"):
        _ghost(name, ghost, container)


def _file(entry: Any, container: Container) -> None:
    descriptor = entry.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number.get(entry.type)
    kind = descriptor.name if descriptor else str(entry.type)
    needs = _PRIVILEGED.get(kind, 0)
    if kind == "INETSK" and entry.isk.type == _SOCK_RAW:
        needs = capabilities.NET_RAW
    if kind not in _ANYBODYS and not needs:
        raise ExceedsError(f"the checkpoint has an open file of kind {kind}, which is not allowed")
    if needs and not container.may(needs):
        raise ExceedsError(
            f"the checkpoint has an open file of kind {kind}, which takes "
            f"{capabilities.told(needs)}, and the container was not given that"
        )


def _ghost(name: str, ghost: Any, container: Container) -> None:
    """A deleted file that is still open: CRIU makes it anew, with its owner and mode."""
    given = container.credentials
    device = stat.S_ISCHR(ghost.mode) or stat.S_ISBLK(ghost.mode)
    if device and not container.may(capabilities.MKNOD):
        raise ExceedsError(f"{name} is a device, and the container cannot make one")
    if container.may(capabilities.CHOWN):
        return
    if ghost.uid not in given.uids:
        raise ExceedsError(f"{name} belongs to uid {ghost.uid}, and the container cannot chown")
    if ghost.gid not in {*given.gids, *given.groups} and ghost.mode & _SET_ID:
        raise ExceedsError(f"{name} is set-gid {ghost.gid}, and the container cannot chown")
