"""The helper is started on demand, watched, and ended when idle."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent.cuda.driver import State
from agent.cuda.errors import HelperError, NoDriverError
from agent.cuda.helper.client import Deadlines, Helper
from chrek.ids import HostPID

SHORT = Deadlines(start=2.0, copy=2.0, locked=1.0)


@pytest_asyncio.fixture
async def helper(command: tuple[str, ...], wrongs: Callable[..., None]) -> AsyncIterator[Helper]:
    made = Helper(command, deadlines=Deadlines(start=20.0, copy=2.0, locked=1.0))
    yield made
    await made.close()


@pytest_asyncio.fixture
async def pid(pretender: Path) -> AsyncIterator[HostPID]:
    library = pretender.with_name("libcuda.so.1")
    process = await asyncio.create_subprocess_exec(
        pretender, library, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    yield HostPID(process.pid)
    process.kill()
    await process.communicate()


def alive(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


async def test_nothing_runs_before_it_is_needed(helper: Helper) -> None:
    assert helper.pid is None


async def test_a_process_goes_there_and_back(helper: Helper, pid: HostPID) -> None:
    assert Path(f"/proc/{pid}/task/{await helper.restore_thread(pid)}").exists()
    states = [await helper.state(pid)]
    await helper.lock(pid, 1000)
    states.append(await helper.state(pid))
    await helper.checkpoint(pid)
    states.append(await helper.state(pid))
    await helper.restore(pid, {})
    await helper.unlock(pid)
    states.append(await helper.state(pid))
    assert states == [State.RUNNING, State.LOCKED, State.CHECKPOINTED, State.RUNNING]


async def test_a_process_without_cuda_has_no_restore_thread(helper: Helper) -> None:
    assert await helper.restore_thread(HostPID(os.getpid())) is None


async def test_calls_beside_each_other_get_their_own_answers(helper: Helper, pid: HostPID) -> None:
    found = await asyncio.gather(*(helper.state(pid) for _ in range(50)), helper.inventory())
    assert set(found[:-1]) == {State.RUNNING}


async def test_an_idle_helper_ends_and_comes_back(command: tuple[str, ...], pid: HostPID) -> None:
    helper = Helper(command, idle_seconds=0.2)
    await helper.state(pid)
    first = helper.pid
    await until(lambda: helper.pid is None and not alive(first))
    await helper.state(pid)
    assert helper.pid not in (None, first)
    await helper.close()


async def test_a_call_that_hangs_is_an_error_and_the_helper_is_replaced(
    helper: Helper, pid: HostPID, wrongs: Callable[..., None]
) -> None:
    await helper.lock(pid, 100)
    first = helper.pid
    wrongs(checkpoint="hang")
    with pytest.raises(HelperError, match="did not answer checkpoint"):
        await helper.checkpoint(pid)
    await until(lambda: not alive(first))
    wrongs()
    await helper.checkpoint(pid)
    assert helper.pid != first


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_helper_that_dies_fails_every_call_under_way(
    helper: Helper, pid: HostPID, wrongs: Callable[..., None], how: Any
) -> None:
    await helper.state(pid)
    wrongs(state="hang", lock="hang")
    calls = [asyncio.create_task(helper.state(pid)), asyncio.create_task(helper.lock(pid, 10000))]
    await asyncio.sleep(0.2)
    assert helper.pid is not None
    os.kill(helper.pid, how)
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(answer, HelperError)
    wrongs()
    assert await helper.state(pid) is State.RUNNING


async def test_a_helper_that_cannot_be_started_is_an_error(pid: HostPID) -> None:
    with pytest.raises(HelperError, match="does not start"):
        await Helper(("/nonexistent",)).state(pid)
    ended = Helper(("/bin/true",))
    with pytest.raises(HelperError, match="helper"):
        await ended.state(pid)
    await ended.close()


async def test_the_real_one_says_that_there_is_no_gpu_and_stays_out_of_this_process() -> None:
    helper = Helper()
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has a GPU")
    with pytest.raises(NoDriverError):
        await helper.inventory()
    await helper.close()
    maps = Path("/proc/self/maps").read_text()
    assert "libcuda" not in maps
    assert "nvidia" not in maps
