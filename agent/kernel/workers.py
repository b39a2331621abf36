"""Work spread over threads. They release Python's lock in every call that moves bytes."""

import os
import threading
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

_MOST_THREADS: Final = 32
_NOTHING: Final = object()
T = TypeVar("T")


class StoppedError(Exception):
    """Somebody else wanted it to end."""


def threads(wished: int = 0) -> int:
    """How many: as wished, else one for each CPU that this process may use."""
    return wished or min(len(os.sched_getaffinity(0)), _MOST_THREADS)


def spread(
    items: Iterable[T],
    count: int,
    stop: threading.Event,
    begin: Callable[[], Callable[[T], object]],
) -> None:
    """Do what `begin` gives, asked once in each of `count` threads, with each item; on the first
    error, or `stop`, no further item is begun. Raises that error, or StoppedError."""
    source, taking = iter(items), threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            one = begin()
            while not failures and not stop.is_set():
                with taking:
                    item = next(source, _NOTHING)
                if item is _NOTHING:
                    return
                one(item)  # type: ignore[arg-type]
        except BaseException as error:
            failures.append(error)

    others = [threading.Thread(target=work, name="pages") for _ in range(count - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]
    if stop.is_set():
        raise StoppedError
