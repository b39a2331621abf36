"""What is remembered of images and hosts, bounded in entries and bytes, in this process only."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values used last; each may count for its bytes."""

    def __init__(
        self,
        entries: int,
        limit_bytes: int = 0,
        bytes_of: Callable[[V], int] = lambda _: 0,
    ) -> None:
        self._entries = entries
        self._limit_bytes = limit_bytes
        self._bytes_of = bytes_of
        self._values: OrderedDict[K, V] = OrderedDict()
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self.drop(key)
        self._values[key] = value
        self.held_bytes += self._bytes_of(value)
        while len(self._values) > self._entries or self.held_bytes > self._limit_bytes:
            self.drop(next(iter(self._values)))

    def drop(self, key: K) -> None:
        if key in self._values:
            self.held_bytes -= self._bytes_of(self._values.pop(key))


class Passing(Generic[K, V]):
    """Values that are forgotten after `seconds`, by `clock`."""

    def __init__(self, entries: int, seconds: float, clock: Callable[[], float]) -> None:
        self._recent: Recent[K, tuple[float, V]] = Recent(entries)
        self._seconds = seconds
        self._clock = clock

    def get(self, key: K) -> V | None:
        found = self._recent.get(key)
        if found is None:
            return None
        until, value = found
        return value if self._clock() < until else None

    def put(self, key: K, value: V) -> None:
        self._recent.put(key, (self._clock() + self._seconds, value))

    def last(self, key: K) -> V | None:
        """The value, were its time over too."""
        found = self._recent.get(key)
        return found[1] if found else None
