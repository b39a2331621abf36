"""Work spread over threads. They release Python's lock in every call that moves bytes."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

from agent.kernel import cpus

_MOST_THREADS: Final = 32
_NOTHING: Final = object()
T = TypeVar("T")


class StoppedError(Exception):
    """Somebody else wanted it to end."""


class Threads(NamedTuple):
    """So many, which run on these CPUs; on any, where none are named."""

    number: int
    cpus: frozenset[int] = frozenset()


def threads(wished: int = 0) -> int:
    """How many: as wished, else one for each CPU that this process may use."""
    return wished or min(len(os.sched_getaffinity(0)), _MOST_THREADS)


def near(pid: int, wished: int = 0) -> Threads:
    """For the memory of another process: as many as wished, else one for each CPU that is near to
    it."""
    where = cpus.near(pid)
    return Threads(wished or min(len(where), _MOST_THREADS), where)


def spread(
    items: Iterable[T],
    count: int,
    stop: threading.Event,
    begin: Callable[[], Callable[[T], object]],
) -> None:
    """Do what `begin` gives, asked once in each of `count` threads, with each item; on the first
    error, or `stop`, no further item is begun. They touch nothing any more when this returns; the
    caller is none of them, and stays as it is. Raises that error, or StoppedError."""
    source, taking = iter(items), threading.Lock()
    failures: list[BaseException] = []

    def work(done: threading.Event) -> None:
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
        finally:
            done.set()

    # Not by join: Python 3.11's, once a signal broke it off, takes the thread for ended.
    running: list[threading.Event] = []
    try:
        for _ in range(count):
            done = threading.Event()
            threading.Thread(target=work, args=[done], name="pages").start()
            running.append(done)
        _wait(running)
    except BaseException as error:  # no room for one more, or a signal for the caller
        failures.append(error)
        _wait(running)
    if failures:
        raise failures[0]
    if stop.is_set():
        raise StoppedError


def _wait(running: Sequence[threading.Event]) -> None:
    for done in running:
        done.wait()
