"""Memory is filled on the CPUs of the container that gets it, so that it comes from their NUMA
nodes; nobody else has to stay there."""

import asyncio
import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.engine import filling
from agent.engine.restore import Choices, restore
from agent.kernel import cgroups
from agent.runtime.target import Target
from agent.store import hashing
from agent.store.checkpoints import Stored
from tests.pages.test_faults import held, started
from tests.pages.test_loaders import loaders
from tests.survival.lives import Life, Lives

__all__ = ["held", "loaders"]

OURS = frozenset(os.sched_getaffinity(0))
CPU = max(OURS)
pytestmark = pytest.mark.skipif(len(OURS) == 1, reason="one CPU is everywhere")
_PROCESSOR = 36
"""Of what follows the name in /proc/PID/stat."""

Where = tuple[frozenset[int], int]
"""CPUs that a thread may use, and the one that it used last."""

Affinities = dict[str, frozenset[int]]
STAYS: Where = (frozenset({CPU}), CPU)


def confined(target: Target) -> None:
    """From now on the container has one CPU."""
    paths = cgroups.of(target.init)
    hierarchy = "cpuset" if "cpuset" in paths else ""
    file = cgroups.directory(hierarchy, paths[hierarchy]) / "cpuset.cpus"
    if not file.exists():
        pytest.skip("containers have no cpuset here")
    file.write_text(str(CPU))


def restored(lives: Lives, stored: Stored) -> tuple[Life, Affinities]:
    """A confined copy, and where the threads of this process could run once it was there."""
    machine, spec = lives.machine, stored.manifest.spec
    assert spec is not None

    async def done() -> tuple[Target, Affinities]:
        target = await machine.start("copy", spec)
        confined(target)
        choices = Choices(machine.settings.namespace)
        await restore(target, stored.path, means=machine.means(), choices=choices)
        tasks = os.listdir("/proc/self/task")  # noqa: PTH208
        return target, {task: frozenset(os.sched_getaffinity(int(task))) for task in tasks}

    target, affinities = asyncio.run(done())
    return Life(machine, target), affinities


@pytest.mark.parametrize(("wished", "threads"), [("0", 1), ("3", 3)])
def test_threads_of_the_agent_stay_on_the_containers_cpus_while_they_load(
    lives: Lives,
    held: tuple[Stored, Any],
    monkeypatch: pytest.MonkeyPatch,
    wished: str,
    threads: int,
) -> None:
    stored, told = held
    seen: dict[int, set[Where]] = {}
    libc, of_block, begun = ctypes.CDLL(None), hashing.of_block, threading.Barrier(threads)

    def noted(block: bytes | memoryview) -> bytes:
        thread = threading.get_native_id()
        if thread not in seen:
            seen[thread] = set()
            begun.wait(30)  # none may be done before the last one begins
        seen[thread].add((frozenset(os.sched_getaffinity(0)), libc.sched_getcpu()))
        return of_block(block)

    monkeypatch.setenv("CHREK_PAGE_THREADS", wished)
    monkeypatch.setattr(hashing, "of_block", noted)
    copy, afterwards = restored(lives, stored)
    monkeypatch.undo()
    assert list(seen.values()) == [{STAYS}] * threads
    assert set(afterwards.values()) == {OURS}
    assert copy.ask() == told


def test_processes_that_load_do_so_too(
    lives: Lives, loaders: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "THREADS_EACH", 2)
    monkeypatch.setattr(filling, "_WORTHWHILE_BYTES", 0)
    monkeypatch.setenv("CHREK_PAGE_THREADS", "4")
    source = started(lives, "large", 400)
    told = source.ask()
    stored = lives.capture(source)
    with watched(loaders) as seen:
        copy, afterwards = restored(lives, stored)
    assert len(seen) == 4
    assert {process for process, _ in seen} == set(loaders)
    assert set(seen.values()) == {STAYS}
    assert set(afterwards.values()) == {OURS}
    assert copy.ask() == told


@contextmanager
def watched(pids: list[int]) -> Iterator[dict[tuple[int, int], Where]]:
    """All threads that these processes start, as they were when they were last looked at."""
    seen: dict[tuple[int, int], Where] = {}
    ended = threading.Event()

    def look() -> None:
        for pid in list(pids):
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    if int(task.name) != pid:
                        where = frozenset(os.sched_getaffinity(int(task.name)))
                        ran = (task / "stat").read_text().rpartition(")")[2].split()[_PROCESSOR]
                        seen[pid, int(task.name)] = where, int(ran)

    def work() -> None:
        while not ended.wait(0.002):
            look()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
