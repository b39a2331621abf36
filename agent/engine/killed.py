"""What the kernel kills for want of memory while it is restored.

Memory is charged to the container that gets it, whoever writes it. Past the container's limit, or
its pod's, the kernel kills a process there, or all of them (memory.oom.group), and all that is seen
of it here is that a process is gone. So it does where the node itself has no more.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.cuda import limits
from agent.kernel import cgroups
from agent.runtime.target import Target
from chrek.errors import ChrekError, DamagedError, OutOfMemoryError


@contextmanager
def said(target: Target) -> Iterator[None]:
    """Raise OutOfMemoryError for an error in the block if the kernel killed a process of the
    container meanwhile; but damage is damage."""
    levels = _levels(target)
    kills, hits = _kills(levels), [_hits(level) for level in levels]
    try:
        yield
    except DamagedError:
        raise
    except ChrekError as error:
        if _kills(levels) <= kills:
            raise
        hit = [level for level, before in zip(levels, hits, strict=True) if _hits(level) > before]
        raise OutOfMemoryError(
            f"{target.name} came to {_limit(hit)} while it was restored, and the kernel killed a "
            "process in it",
            hint="The node's kernel log says which; the source had the memory that this lacks",
        ) from error


def _levels(target: Target) -> list[Path]:
    """The cgroup that its memory is charged to, and those that it is in."""
    with suppress(OSError):
        lowest = cgroups.charged(target.init)
        return [lowest, *lowest.parents]
    return []


def _kills(levels: list[Path]) -> int:
    """So many of its processes so far, for whatever want; 0 where the kernel does not say."""
    if not levels:
        return 0
    v2, v1 = _count(levels[0] / "memory.events"), _count(levels[0] / "memory.oom_control")
    return v2.get("oom_kill", 0) + v1.get("oom_kill", 0)


def _hits(level: Path) -> int:
    """How often memory came to this level's own limit."""
    with suppress(OSError):  # cgroup v1
        return int((level / "memory.failcnt").read_text())
    return _count(level / "memory.events.local").get("oom", 0)


def _count(path: Path) -> dict[str, int]:
    with suppress(OSError):
        words = (line.split() for line in path.read_text().splitlines())
        return {name: int(number) for name, number in words}
    return {}


def _limit(hit: list[Path]) -> str:
    """hit: whose limits were, the innermost first."""
    with suppress(OSError):
        for level in hit:
            if bound := limits.limit_bytes(level):
                return f"a memory limit of {bound >> 20} MiB"
    return "the end of the node's memory"
