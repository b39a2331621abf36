"""How a run that needs root begins and ends."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.failures import SideFailedError, UnavailableError
from bench.side import Side
from chrek.errors import MachineError

_FAILED, _UNABLE, _INTERRUPTED = 1, 3, 130


def entered(run: Callable[[], int]) -> int:
    """What `run` gives; 1: a side failed; 3: this machine cannot; 130: interrupted."""
    if os.geteuid() != 0:
        print("bench: must run as root, as chrek and CRIU must", file=sys.stderr)
        return _UNABLE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run()
    except SideFailedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return _FAILED
    except (MachineError, UnavailableError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return _UNABLE
    except KeyboardInterrupt:
        print("bench: interrupted; everything that it started has ended", file=sys.stderr)
        return _INTERRUPTED


@contextmanager
def workplace(parent: Path) -> Iterator[Path]:
    """A new directory in `parent` that containers can look into, gone after the block."""
    with tempfile.TemporaryDirectory(prefix="chrek-bench-", dir=parent) as made:
        work = Path(made)
        work.chmod(0o755)
        yield work


def closed(side: Side) -> None:
    """Whatever one side cannot end, the others are still ended."""
    try:
        side.close()
    except SideFailedError as error:
        print(f"bench: {side.name} could not be ended: {error}", file=sys.stderr)


def undisturbed() -> None:
    """What ends a run that was interrupted is not to be interrupted itself; it is bounded."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
