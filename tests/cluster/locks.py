"""Who may change the cluster now, and who uses it. Directories are locked: no lock file stays."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .layout import CONFIGURATION, HERE, STATE

_GATE, _TURN = HERE, HERE / "pods"


@contextmanager
def changing() -> Iterator[None]:
    """One `up` or `down` at a time."""
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _opened(STATE) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def using(shared: bool, say: Callable[[str], None]) -> Iterator[bool]:
    """Keep the cluster up, and unless `shared` to oneself: waits for others that use it.

    Gives False if the cluster went away in the meantime.
    """
    if not CONFIGURATION.is_dir():
        yield False
        return
    with _opened(CONFIGURATION) as descriptor:
        _lock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, say)
        # It may have been removed, and another made, while this one waited.
        here = os.fstat(descriptor)
        yield CONFIGURATION.is_dir() and os.path.samestat(here, CONFIGURATION.stat())


class Turns:
    """Of test modules in several processes of one checkout: some have the cluster alone.

    One that waits for that lets no other begin. A process keeps it until it has a module that does
    not need it, so that those which do come one after the other.
    """

    def __init__(self) -> None:
        self._alone = ExitStack()
        self._has_it_alone = False

    def __enter__(self) -> "Turns":
        return self

    def __exit__(self, *_: object) -> None:
        self._alone.close()

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        """For one module."""
        if alone:
            if not self._has_it_alone:
                with _opened(_GATE) as gate:
                    fcntl.flock(gate, fcntl.LOCK_EX)
                    fcntl.flock(self._alone.enter_context(_opened(_TURN)), fcntl.LOCK_EX)
                self._has_it_alone = True
            yield
            return
        self._has_it_alone = False
        self._alone.close()
        with _opened(_TURN) as turn:
            with _opened(_GATE) as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(turn, fcntl.LOCK_SH)
            yield


@contextmanager
def once_unused(say: Callable[[str], None]) -> Iterator[None]:
    """Wait for the test runs that use the cluster; none begins to before this ends."""
    if not CONFIGURATION.is_dir():
        yield
        return
    with _opened(CONFIGURATION) as descriptor:
        _lock(descriptor, fcntl.LOCK_EX, say)
        yield


@contextmanager
def unused() -> Iterator[bool]:
    """Whether no test run uses the cluster; and none begins to before this ends."""
    if not CONFIGURATION.is_dir():
        yield True
        return
    with _opened(CONFIGURATION) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        yield free


def _lock(descriptor: int, kind: int, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another test run that uses the cluster")
        fcntl.flock(descriptor, kind)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
