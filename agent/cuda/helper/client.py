"""The agent's side of the helper: started on demand, watched, ended when idle."""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.cuda.driver import GPU_UUID, State
from agent.cuda.errors import NO_CONTEXT, HelperError, NoDriverError, of_result
from agent.cuda.helper import wire
from agent.cuda.helper.model import Inventory
from agent.cuda.helper.process import HelperProcess, started
from agent.cuda.helper.wire import Answer, Request
from chrek.ids import HostPID

_COMMAND = (sys.executable, "-m", "agent.cuda.helper")
_END_SECONDS = 5.0
_HINT = "The agent must see the driver's libraries: docs/gpu.md"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. start: until CUDA is initialised, and every call that only asks. copy: checkpoint
    and restore, which move what is on the GPU. locked: beyond lock's own timeout."""

    start: float = 60.0
    copy: float = 900.0
    locked: float = 30.0


class Helper:
    """CUDA's driver and NVML for one agent. Implements agent.cuda.driver.Driver.

    command: what is run, with the number of its socket as last argument. idle_seconds: so long
    it is kept after the last call: while it runs it holds the driver's devices open.
    """

    def __init__(
        self,
        command: Sequence[str] = _COMMAND,
        *,
        idle_seconds: float = 30.0,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._command = command
        self._idle_seconds = idle_seconds
        self._deadlines = deadlines or Deadlines()
        self._running: HelperProcess | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._idle: asyncio.TimerHandle | None = None
        self._ends: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._running.pid if self._running else None

    async def warm(self) -> None:
        """Have CUDA initialised, which takes a moment, beside whatever comes next."""
        running = await self._started()
        with contextlib.suppress(HelperError):
            running.send(Request(next(self._numbers), "warm"))
        self._rest(running)

    async def inventory(self) -> Inventory:
        """The node's GPUs now; raises NoDriverError."""
        answer = await self._ask("inventory", self._deadlines.start)
        if answer.result:
            raise NoDriverError(f"NVML cannot be asked: {answer.result}", hint=_HINT)
        return msgspec.json.decode(answer.value, type=Inventory)

    async def state(self, pid: HostPID) -> State:
        # A call that a helper died in goes on in the process, and state waits for its end.
        return State(await self._value("state", pid, self._deadlines.copy))

    async def restore_thread(self, pid: HostPID) -> int | None:
        answer = await self._ask("restore_thread", self._deadlines.start, pid=pid)
        if answer.result in NO_CONTEXT:
            return None
        return int(_value(answer, "restore_thread", pid))

    async def lock(self, pid: HostPID, timeout_ms: int) -> None:
        deadline = timeout_ms / 1000 + self._deadlines.locked
        await self._value("lock", pid, deadline, timeout_ms=timeout_ms)

    async def checkpoint(self, pid: HostPID) -> None:
        await self._value("checkpoint", pid, self._deadlines.copy)

    async def restore(self, pid: HostPID, devices: Mapping[GPU_UUID, GPU_UUID]) -> None:
        await self._value("restore", pid, self._deadlines.copy, devices=dict(devices))

    async def unlock(self, pid: HostPID) -> None:
        await self._value("unlock", pid, self._deadlines.start)

    async def close(self) -> None:
        """End the process, if there is one, and see it gone."""
        if self._idle is not None:
            self._idle.cancel()
        if self._running is not None:
            self._discard(self._running, "chrek ends")
        if self._ends:
            await asyncio.wait(self._ends, timeout=_END_SECONDS)

    async def _value(self, call: str, pid: HostPID, seconds: float, **more: Any) -> Any:
        return _value(await self._ask(call, seconds, pid=pid, **more), call, pid)

    async def _ask(self, call: str, seconds: float, **arguments: Any) -> Answer:
        """One call; raises HelperError once `seconds` passed without an answer."""
        running = await self._started()
        request = Request(next(self._numbers), call, **arguments)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        running.waiting[request.number] = answer
        try:
            running.send(request)
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            why = f"the driver did not answer {call} in {seconds:.0f} s"
            self._discard(running, why)
            raise HelperError(why) from error
        except HelperError as error:
            self._discard(running, error.message)
            raise
        finally:
            running.waiting.pop(request.number).cancel()
            self._rest(running)

    async def _started(self) -> HelperProcess:
        async with self._starting:
            if self._idle is not None:
                self._idle.cancel()
            if self._running is not None and not self._running.lives:
                self._discard(self._running, "it died")
            if self._running is None:
                self._running = await started(self._command)
            return self._running

    def _rest(self, running: HelperProcess) -> None:
        """After a call: end the process when no other comes for a while."""
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(self._idle_seconds, self._rested, running)

    def _rested(self, running: HelperProcess) -> None:
        if self._running is running and not running.waiting:
            self._discard(running, "it was idle")

    def _discard(self, running: HelperProcess, why: str) -> None:
        """Kill a helper; the next call starts another. Its end is a task's business: it may be
        in the driver's hands and not die at once."""
        if self._running is not running:
            return
        self._running = None
        running.kill(why)
        end = asyncio.create_task(running.ended())
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)


def _value(answer: Answer, call: str, pid: HostPID) -> Any:
    if answer.result.startswith(wire.NOT_INITIALIZED):
        raise NoDriverError(
            f"CUDA cannot be asked: {answer.result.removeprefix(wire.NOT_INITIALIZED)}", hint=_HINT
        )
    if answer.result:
        raise of_result(call, answer.result, f"process {pid}")
    return msgspec.json.decode(answer.value)
