"""Memory that several processes load: as with threads, no wrong byte, and none of them stays."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.engine import filling
from agent.kernel import children, process
from agent.pages import load
from chrek.errors import DamagedError, RestoreError
from tests.machine.conftest import wait_for
from tests.pages.test_faults import changed, cold, flip, held, page_file
from tests.survival.lives import Lives

__all__ = ["held"]


@pytest.fixture(autouse=True)
def _several(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each thread, however little there is, and nothing loaded here."""
    monkeypatch.setattr(filling, "THREADS_EACH", 1)
    monkeypatch.setattr(filling, "_WORTHWHILE_BYTES", 0)
    monkeypatch.setattr(load, "load", None)
    monkeypatch.setenv("CHREK_PAGE_THREADS", "3")


@pytest.fixture
def loaders(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The PIDs of those that were started."""
    pids: list[int] = []
    real = children.module

    async def noted(name: str, *arguments: str, descriptors: Sequence[int] = ()) -> Any:
        made = await real(name, *arguments, descriptors=descriptors)
        pids.append(made[0].pid)
        return made

    monkeypatch.setattr(children, "module", noted)
    return pids


def none_left(pids: list[int]) -> bool:
    return bool(pids) and not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def when_asked(
    monkeypatch: pytest.MonkeyPatch, loaders: list[int], do: Callable[[], object]
) -> None:
    """Do something when the loaders stand ready and are about to be asked."""
    real = filling._by

    async def first(*arguments: Any) -> None:
        assert len(loaders) == len(arguments[0])
        do()
        await real(*arguments)

    monkeypatch.setattr(filling, "_by", first)


def test_every_process_loads_its_share(
    lives: Lives, held: tuple[Any, Any], loaders: list[int]
) -> None:
    stored, told = held
    assert lives.restore(stored, "copy").ask() == told
    assert len(loaders) > 1
    assert none_left(loaders)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.999])
def test_damage_in_any_share_is_refused(
    lives: Lives, held: tuple[Any, Any], loaders: list[int], part: float
) -> None:
    stored, told = held
    path = page_file(stored)
    with changed(path):
        flip(path, int(path.stat().st_size * part))
        with pytest.raises(DamagedError, match=r"pages-\d+\.bin"):
            lives.restore(stored, "copy")
    assert none_left(loaders)
    assert cold(lives, "copy", told)


def test_one_that_is_killed_means_a_cold_start(
    lives: Lives, held: tuple[Any, Any], loaders: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, told = held
    when_asked(monkeypatch, loaders, lambda: os.kill(loaders[-1], signal.SIGKILL))
    with pytest.raises(RestoreError, match="that loads memory"):
        lives.restore(stored, "copy")
    assert none_left(loaders)
    assert cold(lives, "copy", told)


def test_interrupted_while_they_load(
    lives: Lives, held: tuple[Any, Any], loaders: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, told = held
    real = filling._by

    async def interrupted(*arguments: Any) -> None:
        for pid in loaders:
            os.kill(pid, signal.SIGSTOP)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.2, task.cancel)
        await real(*arguments)

    monkeypatch.setattr(filling, "_by", interrupted)
    with pytest.raises((asyncio.CancelledError, RestoreError)):
        lives.restore(stored, "copy")
    assert none_left(loaders)
    assert cold(lives, "copy", told)


_AGENT = """
import asyncio, os
from agent.engine import filling
from agent.pages.index import Extents, Opened, PageFile
from agent.kernel.workers import Threads

async def main():
    filling._WORTHWHILE_BYTES = 0
    file = PageFile("pages-1.bin", 1, False, b"", b"", [])
    pages = [Opened(file, Extents(b""), os.open("/dev/null", os.O_RDONLY), 0)]
    async with filling.ready(pages, Threads(filling.THREADS_EACH + 1)):
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_one_ends_with_its_agent() -> None:
    command = [sys.executable, "-c", _AGENT]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert agent.stdout is not None
    assert agent.stdout.readline() == "ready\n"
    loaders = [pid for pid in process.all_pids() if _parent(pid) == agent.pid]
    time.sleep(2)  # one that cannot read its plan is gone by then
    assert [pid for pid in loaders if Path(f"/proc/{pid}/exe").exists()] == loaders
    assert len(loaders) == 2
    agent.kill()
    agent.communicate()
    wait_for(lambda: none_left(loaders), "the loaders to end")


def _parent(pid: int) -> int | None:
    try:
        return process.read(pid).parent
    except OSError:
        return None
