"""CUDA over a tree of processes: all locked before one is checkpointed, and every step undone.

The driver's own word on each process is what an undo goes by: after a crash of the helper nobody
else knows how far a call came.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from agent.cuda.devices import DeviceMap
from agent.cuda.driver import Driver, State
from agent.cuda.errors import HelperError, SourceLostError
from chrek.errors import ChrekError
from chrek.ids import HostPID
from chrek.phases import phase

_T = TypeVar("_T")

_ATTEMPTS = 5
_PAUSE_SECONDS = 1.0


@contextlib.asynccontextmanager
async def paused(
    driver: Driver, processes: Sequence[HostPID], *, lock_milliseconds: int
) -> AsyncIterator[None]:
    """What the processes have on their GPUs is in their memory for the length of the block.

    Whatever happens it is brought back; raises SourceLostError where that fails.
    """
    touched: list[HostPID] = []
    try:
        with phase("cuda-lock"):
            for pid in processes:
                touched.append(pid)
                await _to_its_end(driver.lock(pid, lock_milliseconds))
        with phase("cuda-checkpoint"):
            await _all(driver.checkpoint(pid) for pid in processes)
        yield
    finally:
        with phase("cuda-restore"):
            await _to_its_end(brought_back(driver, touched[::-1]))


async def resumed(driver: Driver, processes: Sequence[HostPID], devices: DeviceMap) -> None:
    """Bring back what processes had on their GPUs when they were captured, and let them go on:
    none of them before all have it."""
    with phase("cuda-restore"):
        await _all(driver.restore(pid, devices) for pid in processes)
        for pid in processes:
            await _to_its_end(driver.unlock(pid))


async def brought_back(driver: Driver, processes: Sequence[HostPID]) -> None:
    """Have every process run as before a capture, whatever its state; raises SourceLostError that
    names those that could not be."""
    answers = await asyncio.gather(
        *(_brought_back(driver, pid) for pid in processes), return_exceptions=True
    )
    lost = [
        f"{pid} ({answer})"
        for pid, answer in zip(processes, answers, strict=True)
        if isinstance(answer, BaseException)
    ]
    if lost:
        raise SourceLostError(f"the GPU state could not be brought back: {', '.join(lost)}")


async def _brought_back(driver: Driver, pid: HostPID) -> None:
    for attempt in range(_ATTEMPTS):
        if attempt:
            await asyncio.sleep(_PAUSE_SECONDS)
        try:
            if await _stepped_back(driver, pid):
                return
        except HelperError:
            continue  # it is started again; what the call came to, the driver knows
        except ChrekError as error:
            # A call that the dead helper had begun may go on, and its state stands between.
            if attempt == _ATTEMPTS - 1:
                raise SourceLostError(str(error)) from error
    raise SourceLostError(f"the driver gave no answer in {_ATTEMPTS} attempts")


async def _stepped_back(driver: Driver, pid: HostPID) -> bool:
    """Whether `pid` runs, after the calls that its state asks for."""
    state = await driver.state(pid)
    if state is State.CHECKPOINTED:
        await driver.restore(pid, {})
        state = State.LOCKED
    if state is State.LOCKED:
        await driver.unlock(pid)
        state = State.RUNNING
    if state is State.FAILED:
        raise SourceLostError("its state is failed")
    return state is State.RUNNING


async def _all(calls: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once, each to its end; raises the first error."""
    answers = await _to_its_end(_gathered(list(calls)))
    for answer in answers:
        if answer is not None:
            raise answer


async def _gathered(calls: list[Coroutine[Any, Any, None]]) -> list[BaseException | None]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def _to_its_end(call: Coroutine[Any, Any, _T]) -> _T:
    """A call of the driver cannot be taken back: a cancellation waits for it."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.gather(task, return_exceptions=True)
