"""Who may change the cluster now, and who uses it. Directories are locked: no lock file stays."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ClusterError
from .layout import CONFIGURATION, STATE


@contextmanager
def changing() -> Iterator[None]:
    """One `up` or `down` at a time."""
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _opened(STATE) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def using(shared: bool, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Keep the cluster up, and unless `shared` to oneself: waits for others that use it."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with _opened(CONFIGURATION) as descriptor:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another test run that uses the cluster")
            fcntl.flock(descriptor, kind)
        yield


def refuse_if_used() -> None:
    """An error if a test run uses the cluster."""
    if not CONFIGURATION.is_dir():
        return
    with _opened(CONFIGURATION) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError("a test run uses it: wait for its end, or `down --force`") from None


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
