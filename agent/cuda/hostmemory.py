"""Room in host memory for what is on the GPUs: numbers in, a plan out.

During a capture and a restore those bytes are in the process, so they are charged to its container
and pod. Past a limit the kernel kills: what does not fit is refused, or the limits are raised.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from agent.cuda.errors import HostMemoryError

MARGIN_BYTES = 256 << 20
"""Beyond the bytes themselves: page tables, and what the app takes meanwhile."""

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Level:
    """A cgroup that is charged. what: "container", "pod", or its path. limit_bytes: None is no
    limit. used_bytes: less what the kernel can take back at once (page cache). raisable: it
    belongs to the pod alone."""

    what: str
    path: str
    limit_bytes: int | None
    used_bytes: int
    raisable: bool

    @property
    def free_bytes(self) -> int | None:
        """None is no bound."""
        return None if self.limit_bytes is None else max(0, self.limit_bytes - self.used_bytes)


@dataclass(frozen=True, slots=True)
class Raise:
    """A limit to be raised for a while."""

    path: str
    before_bytes: int
    to_bytes: int


@dataclass
class Promised:
    """What operations under way may still take of the node's memory: until they have taken it,
    the kernel calls it available. That they have counts twice meanwhile, which is safe."""

    total_bytes: int = 0

    @contextmanager
    def promise(self, size_bytes: int) -> Iterator[None]:
        """Keep others from counting on `size_bytes` in the block."""
        self.total_bytes += size_bytes
        try:
            yield
        finally:
            self.total_bytes -= size_bytes


def plan(
    name: str, needed_bytes: int, levels: Sequence[Level], node_bytes: int
) -> tuple[Raise, ...]:
    """The limits to raise, outermost first, so that `needed_bytes` find room; none if they do.

    levels: outermost first. node_bytes: what the node has to give. Raises HostMemoryError.
    """
    wanted = needed_bytes + MARGIN_BYTES if needed_bytes else 0
    if wanted > node_bytes:
        raise _short(name, wanted, "the node", node_bytes)
    raised: list[Raise] = []
    for level in levels:
        free = level.free_bytes
        if free is None or free >= wanted:
            continue
        assert level.limit_bytes is not None
        if not level.raisable:
            raise _short(name, wanted, f"the cgroup {level.what}", free)
        raised.append(Raise(level.path, level.limit_bytes, level.used_bytes + wanted))
    return tuple(raised)


def _short(name: str, wanted: int, where: str, free: int) -> HostMemoryError:
    return HostMemoryError(
        f"{name} needs {wanted / _GIB:.1f} GiB of host memory for what is on its GPUs, "
        f"{where} has {free / _GIB:.1f} GiB"
    )
