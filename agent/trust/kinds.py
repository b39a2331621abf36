"""The images that a checkpoint may have. What is not known here is refused: CRIU reads more kinds,
and some of them make namespaces, mounts, policies or BPF maps.
"""

import re
from typing import Final

_READ: Final = re.compile(
    r"(inventory|pstree|seccomp|files)\.img|(core|ids)-\d{1,7}\.img|ghost-file-[0-9a-f]{1,8}\.img"
)
"""Those that the gate reads. They are always copied: what was checked is what CRIU reads."""

_DROPPED: Final = re.compile(r"cgroup\.img|stats-dump|.*\.log")
"""Those that CRIU does not get. cgroup.img: a thread could be moved to a cgroup by its path."""

_PASSED: Final = re.compile(
    r"(mm|fs|fdinfo|pagemap|pages)-\d{1,10}\.img|pagemap-shmem-\d{1,20}\.img"
    r"|(pipes-data|fifo-data|sk-queues|filelocks|remap-fpath|memfd|tty-info|tty-data)\.img"
)
"""Memory, data in flight, and what belongs to files that files.img names."""

_CLOCKS: Final = re.compile(r"timens-(\d{1,10})\.img")


def dropped(name: str) -> bool:
    """Whether CRIU has no use for it."""
    return _DROPPED.fullmatch(name) is not None


def read_by_the_gate(name: str) -> bool:
    """Whether it is copied whatever its size."""
    return _READ.fullmatch(name) is not None


def known(name: str) -> bool:
    """Whether it is of a kind that gives no rights by itself."""
    return read_by_the_gate(name) or _PASSED.fullmatch(name) is not None


def clocks(name: str) -> int | None:
    """The number of the time namespace of an image of clocks."""
    found = _CLOCKS.fullmatch(name)
    return int(found[1]) if found else None
