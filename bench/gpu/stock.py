"""Bare CRIU for a program on a GPU: the driver's own calls, as chrek makes them, around it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.cuda import tree
from agent.cuda.helper.client import Helper
from agent.engine.gpu import LOCK_MILLISECONDS
from agent.kernel import process
from bench.bare import Bare
from bench.failures import SideFailedError
from bench.side import Checkpointed, Restored
from chrek.errors import ChrekError
from chrek.ids import HostPID
from chrek.phases import phase, recording

_T = TypeVar("_T")


class Stock(Bare):
    """One process on all GPUs. The helper that asks the driver is ready before time is taken."""

    def checkpoint(self) -> Checkpointed:
        """cuda-lock, cuda-checkpoint, `criu dump`, cuda-restore."""

        async def made(helper: Helper, pid: HostPID) -> Checkpointed:
            async with tree.paused(helper, [pid], lock_milliseconds=LOCK_MILLISECONDS):
                with phase("dump"):
                    return await asyncio.to_thread(super(Stock, self).checkpoint)

        phases, dumped = _asked(self._host_pid, made)
        return Checkpointed(sum(phases.values()), dumped.frozen_seconds, phases)

    def restore(self) -> Restored:
        """`criu restore`, cuda-restore."""

        async def brought(helper: Helper, _: HostPID) -> None:
            with phase("criu"):
                await asyncio.to_thread(super(Stock, self).restore)
            await tree.resumed(helper, [self._host_pid()], {})

        phases, _ = _asked(lambda: self.init, brought)
        return Restored(sum(phases.values()), phases)

    def _host_pid(self) -> HostPID:
        for each in process.in_pid_namespace(self.init):
            if str(each.pid) == self.pid:
                return each.host_pid
        raise SideFailedError(f"process {self.pid} has ended: {self.log()[-300:]}")


def _asked(
    pid: Callable[[], HostPID], work: Callable[[Helper, HostPID], Awaitable[_T]]
) -> tuple[dict[str, float], _T]:
    """Seconds by phase, and what `work` gives."""

    async def asked() -> tuple[dict[str, float], _T]:
        helper = Helper()
        try:
            await helper.inventory()
            with recording() as phases:
                made = await work(helper, pid())
            return phases, made
        finally:
            await helper.close()

    try:
        return asyncio.run(asked())
    except ChrekError as error:
        raise SideFailedError(f"{error} ({error.reason})") from error
