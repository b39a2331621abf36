"""The GPU's part of a restore: where its state goes, and bringing it back before the app runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from agent.cuda import devices, given, known, tree
from agent.cuda.errors import CUDAError
from agent.cuda.hold.held import held
from agent.engine import gpu_room
from agent.engine.means import Means
from agent.kernel import process
from agent.kernel.process import Process
from agent.runtime.target import Target
from chrek.errors import ChrekError
from chrek.ids import HostPID, NamespacePID
from chrek.manifest import GPUFacts, Manifest


@dataclass(frozen=True, slots=True)
class Placement:
    """facts: of the source. devices: old GPU -> new. host_bytes: what its processes take of host
    memory until the GPUs have theirs."""

    facts: GPUFacts
    devices: devices.DeviceMap
    host_bytes: int


async def expected(target: Target, means: Means) -> None:
    """Have the driver's helper start, if the container has a GPU: it will be asked soon."""
    with contextlib.suppress(ChrekError):
        if given.has_any(target.init) and known.driver_version():
            await means.gpu.warm()


@contextlib.contextmanager
def placing(
    manifest: Manifest, target: Target, means: Means
) -> "Iterator[asyncio.Task[Placement | None]]":
    """Find out where the checkpoint's GPU state goes, beside what comes next: asking the driver
    takes a moment. The task raises an IncompatibleError."""
    task = asyncio.create_task(_placement(manifest, target, means))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        yield task
    finally:
        task.cancel()


async def _placement(manifest: Manifest, target: Target, means: Means) -> Placement | None:
    if manifest.gpu is None:
        return None
    inventory = await means.gpu.inventory()
    known.refuse_driver(inventory.driver)
    here = await gpu_room.given_gpus(inventory, target, means)
    placed = devices.fitting(manifest.gpu, here, inventory.driver)
    own_bytes = sum(each.rss_bytes for each in manifest.facts.processes)
    return Placement(manifest.gpu, placed, own_bytes + gpu_room.on_gpus(manifest.gpu))


@contextlib.asynccontextmanager
async def roomy(placement: Placement | None, target: Target, means: Means) -> AsyncIterator[None]:
    """Room in host memory for the bytes that CRIU brings and the GPUs take, in the block; raises
    HostMemoryError."""
    if placement is None:
        yield
        return
    async with gpu_room.roomy("restore", placement.host_bytes, target, means):
        yield


async def resumed(placement: Placement, target: Target, root: NamespacePID, means: Means) -> None:
    """Bring the GPUs' bytes back and let the app go on, from its stop, in that order."""
    made = await asyncio.to_thread(_tree, target, root)
    numbers = {each.pid: each.host_pid for each in made}
    users: dict[HostPID, int] = {}
    for each in placement.facts.processes:
        pid = numbers.get(NamespacePID(each.pid))
        thread = await means.gpu.restore_thread(pid) if pid is not None else None
        if pid is None or thread is None:
            raise CUDAError(f"process {each.pid} came to {target.name} without its CUDA context")
        users[pid] = thread
    async with held(list(numbers.values()), list(users.values())):
        await tree.resumed(means.gpu, list(users), placement.devices)


def _tree(target: Target, root: NamespacePID) -> list[Process]:
    everything = process.in_pid_namespace(target.init)
    tops = [each.host_pid for each in everything if each.pid == root]
    return process.descendants(everything, tops[0]) if tops else []
