"""Work spread over threads: all of it is done, or the first error is told and nothing goes on."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from agent.kernel import workers
from tests.machine.conftest import wait_for

ITEMS = 1000


def spread(one: Callable[[int], object], stop: threading.Event | None = None) -> None:
    workers.spread(range(ITEMS), 3, stop or threading.Event(), lambda: one)


def left() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "pages"]


def test_every_item_is_done_once_and_never_by_the_caller() -> None:
    done: list[int] = []
    by: set[threading.Thread] = set()

    def one(item: int) -> None:
        done.append(item)
        by.add(threading.current_thread())

    spread(one)
    assert sorted(done) == list(range(ITEMS))
    assert threading.current_thread() not in by
    wait_for(lambda: not left(), "the threads to end")


def test_an_error_ends_it() -> None:
    done: list[int] = []

    def one(item: int) -> None:
        done.append(item)
        if item == 10:
            raise KeyError(item)
        time.sleep(0.001)

    with pytest.raises(KeyError):
        spread(one)
    assert len(done) < ITEMS
    wait_for(lambda: not left(), "the threads to end")


def test_so_does_a_signal_for_the_caller() -> None:
    done: list[int] = []

    def one(item: int) -> None:
        done.append(item)
        if item == 10:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        spread(one)
    count = len(done)
    assert count < ITEMS
    wait_for(lambda: not left(), "the threads to end")
    assert len(done) == count


def test_and_so_does_whoever_wants_it_to_stop() -> None:
    stop = threading.Event()
    with pytest.raises(workers.StoppedError):
        spread(lambda item: item < 10 or stop.set(), stop)
    wait_for(lambda: not left(), "the threads to end")
