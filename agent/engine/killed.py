"""What the kernel kills for want of memory while it is restored.

Memory is charged to the container that gets it, whoever writes it. Past the container's limit, or
its pod's, the kernel kills a process there, or all of them (memory.oom.group), and all that is seen
of it here is that a process is gone.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agent.cuda import limits
from agent.kernel import cgroups
from agent.runtime.target import Target
from chrek.errors import ChrekError, DamagedError, OutOfMemoryError, TargetGoneError

_COUNTERS: Final = ("memory.events", "memory.oom_control")  # cgroup v2, v1


@contextmanager
def said(target: Target) -> Iterator[None]:
    """Raise OutOfMemoryError for an error in the block if the kernel killed a process of the
    container meanwhile; but damage is damage. Raises TargetGoneError."""
    try:
        cgroup = cgroups.charged(target.init)
    except OSError as error:
        raise TargetGoneError(f"container {target.name} has ended") from error
    before = _kills(cgroup)
    try:
        yield
    except DamagedError:
        raise
    except ChrekError as error:
        if _kills(cgroup) > before:
            raise OutOfMemoryError(
                f"{target.name} came to {_limit(cgroup)} while it was restored, and the kernel "
                "killed a process in it",
                hint="The node's kernel log says which; the source had the memory that this lacks",
            ) from error
        raise


def _kills(cgroup: Path) -> int:
    """So many processes of it so far; 0 where the kernel does not say."""
    for name in _COUNTERS:
        with suppress(OSError):
            counts = dict(line.split() for line in (cgroup / name).read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def _limit(cgroup: Path) -> str:
    """The least of its own and of those that it is in."""
    found: list[int] = []
    with suppress(OSError):
        for place in (cgroup, *cgroup.parents):
            if bound := limits.limit_bytes(place):
                found.append(bound)
    return f"a memory limit of {min(found) >> 20} MiB" if found else "the end of the node's memory"
