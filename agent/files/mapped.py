"""Files that a container's processes map as shared: writing through memory changes no time.

Once such a page is writable the kernel does not notice writes: POSIX shared memory, databases.
"""

import os
from collections.abc import Iterator

from agent.kernel import process
from chrek.ids import HostPID

_SHARED = b"s"


def paths(pid: int) -> set[str]:
    """Paths of such files in the PID namespace whose PID 1 is `pid`, as its root has them."""
    found = process.in_pid_namespace(HostPID(pid))
    return {os.fsdecode(path) for each in found for path in _shared(each.host_pid)}


def identities(shared: set[str], point: str, directory: int) -> set[tuple[int, int]]:
    """Device and inode of those below `point`, which `directory` is open on (or on its upper
    layer): a file has them under every name."""
    found: set[tuple[int, int]] = set()
    inside = point.rstrip("/") + "/"
    for path in shared:
        if not path.startswith(inside):
            continue
        try:
            status = os.lstat(path.removeprefix(inside), dir_fd=directory)
        except OSError:
            continue  # deleted, of another mount, or only read and so not in the upper layer
        found.add((status.st_dev, status.st_ino))
    return found


def _shared(pid: int) -> Iterator[bytes]:
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:  # noqa: PTH123 - as fast as it gets
            lines = file.read().split(b"\n")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return  # it ended while we looked
    for line in lines:
        _, _, rest = line.partition(b" ")
        if rest[3:4] == _SHARED and (start := rest.find(b"/")) >= 0:
            yield rest[start:].replace(b"\\012", b"\n")
