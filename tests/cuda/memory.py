"""A driver in memory, with CUDA's rules, that fails where it is told to."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.cuda.driver import GPU_UUID, State
from agent.cuda.errors import HelperError, of_result
from chrek.ids import HostPID

RULES = {
    "lock": (State.RUNNING, State.LOCKED),
    "checkpoint": (State.LOCKED, State.CHECKPOINTED),
    "restore": (State.CHECKPOINTED, State.LOCKED),
    "unlock": (State.LOCKED, State.RUNNING),
}


@dataclass
class MemoryDriver:
    """faults: (call, pid) -> what its next calls come to: a CUresult (nothing happened), "late"
    (the helper died, and it happened all the same) or "gone" (it died, and nothing happened).
    calls: what was asked, in order."""

    states: dict[HostPID, State]
    faults: dict[tuple[str, HostPID], list[str]] = field(default_factory=dict)
    calls: list[tuple[str, HostPID]] = field(default_factory=list)

    async def state(self, pid: HostPID) -> State:
        return self.states[pid]

    async def restore_thread(self, pid: HostPID) -> int | None:
        return pid + 1 if pid in self.states else None

    async def lock(self, pid: HostPID, timeout_ms: int) -> None:
        await self._move("lock", pid)

    async def checkpoint(self, pid: HostPID) -> None:
        await self._move("checkpoint", pid)

    async def restore(self, pid: HostPID, devices: Mapping[GPU_UUID, GPU_UUID]) -> None:
        await self._move("restore", pid)

    async def unlock(self, pid: HostPID) -> None:
        await self._move("unlock", pid)

    async def _move(self, call: str, pid: HostPID) -> None:
        self.calls.append((call, pid))
        await asyncio.sleep(0)
        left = self.faults.get((call, pid))
        wrong = left.pop(0) if left else ""
        if wrong.startswith("CUDA"):
            raise of_result(call, wrong, str(pid))
        before, after = RULES[call]
        if self.states[pid] is not before:
            raise of_result(call, "CUDA_ERROR_ILLEGAL_STATE", str(pid))
        if wrong != "gone":
            self.states[pid] = after
        if wrong:
            raise HelperError("it died")
