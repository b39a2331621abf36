"""Which GPUs a container has, and room in host memory for what is on them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from agent.cuda import given, hostmemory, hugepages, limits
from agent.cuda.helper.model import GPU, Inventory
from agent.engine import operations
from agent.engine.means import Means
from agent.engine.operations import Changes
from agent.kernel import process
from agent.runtime.target import Target
from chrek.ids import HostPID
from chrek.manifest import GPUFacts
from chrek.runspec import ALL_GPUS


async def given_gpus(inventory: Inventory, target: Target, means: Means) -> list[GPU]:
    """As the kubelet gave them, or the command line, else as the container sees them; raises
    GPUsUnknownError."""
    if target.spec is not None and target.spec.gpus not in ([], [ALL_GPUS]):
        return given.chosen(inventory, target.spec.gpus)
    ids = await means.device_ids(target.pod) if target.pod else None
    return given.by_ids(inventory, ids) if ids else given.seen(inventory, target.init)


@contextlib.asynccontextmanager
async def roomy(
    kind: str, size_bytes: int, target: Target, means: Means, processes: Sequence[HostPID] = ()
) -> AsyncIterator[None]:
    """Room for `size_bytes` more in the block, and huge pages if wished. processes: those whose GPU
    state may be in host memory meanwhile. Raises HostMemoryError."""
    with contextlib.ExitStack() as stack:
        raised = await asyncio.to_thread(plan, target, size_bytes, means)
        stack.enter_context(means.promised.promise(size_bytes))
        before = hugepages.to_be_changed(wished=means.settings.huge_pages)
        changes = Changes(
            limits={change.path: change.before_bytes for change in raised},
            huge_pages=before,
            paused={pid: process.start_ticks(pid) or 0 for pid in processes},
        )
        stack.enter_context(operations.recorded(means.settings, kind, target, [], changes))
        async with limits.raised(raised):
            with hugepages.always(before):
                yield


def on_gpus(facts: GPUFacts) -> int:
    """Bytes of the source on all its GPUs."""
    return sum(each.bytes for each in facts.processes)


def plan(target: Target, size_bytes: int, means: Means) -> tuple[hostmemory.Raise, ...]:
    """Limits to raise so that `size_bytes` more fit; raises HostMemoryError."""
    left_bytes = limits.node_bytes() - means.promised.total_bytes
    return hostmemory.plan(target.name, size_bytes, limits.levels(target), left_bytes)
