"""The GPU's part of a capture. It costs a program without CUDA no more than a look at /proc."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from agent.cuda import devices, known, tree
from agent.cuda.errors import HalfOpenError, MPSError, SourceLostError
from agent.cuda.helper.model import GPU, Inventory
from agent.engine import gpu_room
from agent.engine.means import Means
from agent.kernel import process
from agent.kernel.process import Process
from agent.runtime.target import Target
from chrek.errors import ChrekError
from chrek.ids import HostPID
from chrek.manifest import GPUDevice, GPUFacts, GPUProcess

LOCK_MILLISECONDS = 10_000


@dataclass(frozen=True, slots=True)
class Source:
    """What a source has on GPUs. processes: those with a CUDA context."""

    facts: GPUFacts
    processes: list[HostPID]


async def inspect(target: Target, found: Sequence[Process], means: Means) -> Source | None:
    """What `found`, the tree of `target`, has on GPUs; None: nothing. Raises a RefusedError for
    what cannot be checkpointed."""
    loaded = [each for each in found if known.may_use_cuda(each.host_pid)]
    if not loaded or not known.driver_version():
        return None
    users = [each for each in loaded if await means.gpu.restore_thread(each.host_pid) is not None]
    _refuse_half_open(target, [each for each in found if each not in users])
    if not users:
        return None
    inventory = await means.gpu.inventory()
    known.refuse_driver(inventory.driver)
    gpus = await gpu_room.given_gpus(inventory, target, means)
    devices.refuse_divided(gpus)
    _refuse_shared(target, users, inventory)
    facts = _facts(users, gpus, inventory)
    size_bytes = gpu_room.on_gpus(facts)
    await asyncio.to_thread(gpu_room.plan, target, size_bytes, means)  # refused before any work
    return Source(facts, [each.host_pid for each in users])


async def held_bytes(target: Target, means: Means) -> int:
    """What the container's processes have on GPUs, as far as that is known without harm."""
    found = await asyncio.to_thread(process.in_pid_namespace, target.init)
    users = {each.host_pid for each in found if known.may_use_cuda(each.host_pid)}
    if not users:
        return 0
    try:
        inventory = await means.gpu.inventory()
    except ChrekError:
        return 0  # the capture itself says what is wrong
    return sum(
        use.used_bytes for gpu in inventory.gpus for use in gpu.processes if use.pid in users
    )


@contextlib.asynccontextmanager
async def paused(source: Source | None, target: Target, means: Means) -> AsyncIterator[None]:
    """The bytes of the GPUs are in the source's memory for the length of the block. A source
    that cannot be brought back is ended, so that it is started again and does not hang."""
    if source is None:
        yield
        return
    pause = tree.paused(means.gpu, source.processes, lock_milliseconds=LOCK_MILLISECONDS)
    try:
        size_bytes = gpu_room.on_gpus(source.facts)
        async with gpu_room.roomy("capture", size_bytes, target, means, source.processes), pause:
            yield
    except SourceLostError:
        target.kill()
        raise


def _refuse_half_open(target: Target, others: Sequence[Process]) -> None:
    for each in others:
        if known.maps_a_gpu(each.host_pid):
            raise HalfOpenError(
                f"{each.name} (PID {each.pid}) in {target.name} has a GPU's device mapped and no "
                "CUDA context, so that the driver does not checkpoint it",
                hint="It may be a worker of torch.compile: TORCHINDUCTOR_COMPILE_THREADS=1",
            )


def _refuse_shared(target: Target, users: Sequence[Process], inventory: Inventory) -> None:
    clients = {use.pid for gpu in inventory.gpus for use in gpu.processes if use.mps}
    for each in users:
        if each.host_pid in clients:
            raise MPSError(
                f"{each.name} (PID {each.pid}) in {target.name} is a client of CUDA's MPS",
                hint="A GPU shared through MPS cannot be checkpointed",
            )


def _facts(users: Sequence[Process], gpus: Sequence[GPU], inventory: Inventory) -> GPUFacts:
    own = {each.host_pid for each in users}
    everywhere = [(gpu.uuid, use) for gpu in inventory.gpus for use in gpu.processes]
    return GPUFacts(
        driver=inventory.driver,
        devices=[
            GPUDevice(
                gpu.uuid,
                gpu.product,
                gpu.memory_bytes,
                sum(use.used_bytes for use in gpu.processes if use.pid in own),
            )
            for gpu in gpus
        ],
        processes=[
            GPUProcess(
                each.pid,
                sum(use.used_bytes for _, use in everywhere if use.pid == each.host_pid),
            )
            for each in users
        ],
    )
