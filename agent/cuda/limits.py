"""Memory limits of a container and its pod: read, raised for a while, put back.

cgroup v1 and v2. A limit below what is in use has the kernel kill (v2) or is refused (v1), so one
is put back only once the use is below it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from agent.cuda.errors import HostMemoryError
from agent.cuda.hostmemory import Level, Raise
from agent.kernel import cgroups
from agent.runtime.target import Target
from chrek.logs import event

_log = logging.getLogger("chrek.cuda")
_NO_LIMIT = 1 << 62  # v1 writes a number near 2^63
_KEPT_FREE_BYTES = 512 << 20
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.5


def levels(target: Target) -> list[Level]:
    """The cgroups that `target`'s memory is charged to, outermost first, with a limit or not."""
    lowest = cgroups.charged(target.init)
    top = cgroups.directory(cgroups.hierarchy("memory", cgroups.of(target.init)), "/")
    chain = [lowest, *lowest.parents]
    chain = chain[: chain.index(top)] if top in chain else chain[:1]
    # A container may have cgroups of its own below the one that its runtime made.
    made = max(
        (place for place, path in enumerate(chain) if target.container in path.name), default=0
    )
    named = {made: "container"}
    if made + 1 < len(chain) and "pod" in chain[made + 1].name:
        named[made + 1] = "pod"
    read = [
        _level(path, named.get(place, str(path.relative_to(top))), raisable=place <= max(named))
        for place, path in enumerate(chain)
    ]
    return [level for level in read[::-1] if level is not None]


def node_bytes() -> int:
    """What the node can give before the kubelet would evict for it."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return max(0, int(line.split()[1]) * 1024 - _KEPT_FREE_BYTES)
    return 0


def limit_bytes(path: Path) -> int | None:
    """Of the cgroup there; None where it has none."""
    if not (files := _files(path)):
        return None
    text = files[0].read_text().strip()
    return None if text == "max" or int(text) > _NO_LIMIT else int(text)


def _level(path: Path, what: str, *, raisable: bool) -> Level | None:
    if not (files := _files(path)):
        return None  # v2: no memory controller at this level
    statistics = dict(line.split() for line in (path / "memory.stat").read_text().splitlines())
    v1 = "total_cache" in statistics
    cache = int(statistics["total_cache" if v1 else "file"])
    shared = int(statistics.get("total_shmem" if v1 else "shmem", 0))
    used = int(files[1].read_text()) - (cache - shared)
    return Level(what, str(path), limit_bytes(path), max(0, used), raisable)


def _files(path: Path) -> tuple[Path, Path] | None:
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        if (path / limit).exists():
            return path / limit, path / usage
    return None


@contextlib.asynccontextmanager
async def raised(plan: Sequence[Raise]) -> AsyncIterator[None]:
    """The limits of `plan`, for the length of the block."""
    try:
        _raise(plan)
        yield
    finally:
        await asyncio.shield(put_back({change.path: change.before_bytes for change in plan}))


def _raise(plan: Sequence[Raise]) -> None:
    for change in plan:
        try:
            _write(change.path, change.to_bytes)
        except OSError as error:
            raise HostMemoryError(f"a memory limit could not be raised: {error}") from error


async def put_back(before: dict[str, int]) -> None:
    """Set limits to what they were, innermost first, each as soon as its use is below."""
    left = dict(reversed(before.items()))
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while left:
        left = {path: limit for path, limit in left.items() if not _put_back(path, limit)}
        if left and asyncio.get_running_loop().time() > deadline:
            event(_log, logging.WARNING, "memory limits stay raised: more is in use", cgroups=left)
            return
        if left:
            await asyncio.sleep(_LOOK_SECONDS)


def _put_back(path: str, limit: int) -> bool:
    """Whether that is done; it is when the cgroup is gone, too."""
    level = None
    try:
        level = _level(Path(path), "", raisable=True)
        if level is None or level.used_bytes >= limit:
            return level is None
        _write(path, limit)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # v1 refuses while the page cache is not yet taken back
    return True


def _write(path: str, limit: int) -> None:
    files = _files(Path(path))
    if files is None:
        raise FileNotFoundError(path)
    files[0].write_text(str(limit))
