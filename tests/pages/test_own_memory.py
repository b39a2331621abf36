"""What chrek itself needs of memory to restore a lot of it: little, and no more for more."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.engine import filling
from agent.kernel import workers
from tests.machine.conftest import PYTHON, Chrek, _remove_shim, chrek, shim, wait_for
from tests.pages.memory import OWN_PROGRAMS
from tests.survival.lives import PROGRAMS

__all__ = ["_remove_shim", "chrek", "shim"]

SMALL, LARGE = 256, 2048
"""MiB."""
FEW, MANY = 2, workers._MOST_THREADS
"""Threads: those of chrek's own process; in as many processes as there ever are by default."""
MOST_BYTES = 300 << 20
_SAME_BYTES = 16 << 20


@pytest.mark.parametrize(
    ("threads", "processes"), [(FEW, 1), (MANY, 1 + MANY // filling.THREADS_EACH)]
)
def test_little_and_no_more_for_more(chrek: Chrek, threads: int, processes: int) -> None:
    small = needed(chrek, captured(chrek, SMALL), threads)
    large = needed(chrek, captured(chrek, LARGE), threads)
    assert (len(small), len(large)) == (1, processes)
    assert sum(large) < MOST_BYTES
    assert max(large) < max(small) + _SAME_BYTES


def captured(chrek: Chrek, mebibytes: int) -> str:
    """The name of a checkpoint of so much."""
    volumes = ("--volume", f"{OWN_PROGRAMS}:/own:ro", "--volume", f"{PROGRAMS}:/programs:ro")
    chrek("run", "--name", "source", *volumes, "--", PYTHON, "/own/holding.py", str(mebibytes))
    wait_for(lambda: "ready" in chrek.log("source"), "the program")
    made = f"of-{mebibytes}"
    chrek("checkpoint", "source", "--as", made)
    chrek("stop", "source")
    return made


def needed(chrek: Chrek, checkpoint: str, threads: int) -> list[int]:
    """Bytes that each process of a restore needed."""
    chrek.environment["CHREK_PAGE_THREADS"] = str(threads)
    command = chrek.start("restore", checkpoint, "--name", "copy", "--on-failure", "fail")
    with watched(command.pid) as found:
        _, complained = command.communicate()
    assert command.returncode == 0, complained
    chrek("stop", "copy")
    return list(found.values())


@contextmanager
def watched(pid: int) -> Iterator[dict[int, int]]:
    """By PID, the most bytes that this process, and each that loads for it, ever had resident, as
    the kernel keeps it; what they share counts in each."""
    found: dict[int, int] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.005):
            for each in (pid, *loaders(pid)):
                found[each] = max(found.get(each, 0), most(each))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        ended.set()
        looking.join()


def loaders(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if b"agent.pages.loader" in Path(f"/proc/{child}/cmdline").read_bytes():
                yield int(child)


def most(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0
