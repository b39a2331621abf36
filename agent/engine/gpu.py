"""The GPU's part of a capture and a restore. Nothing here costs a program without CUDA more than a
look at /proc."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from agent.cuda import devices, given, hostmemory, hugepages, known, limits, tree
from agent.cuda.errors import CUDAError, MPSError, SourceLostError
from agent.cuda.helper.model import GPU, Inventory
from agent.cuda.hold.held import held
from agent.engine import operations
from agent.engine.means import Means
from agent.engine.operations import Changes
from agent.kernel import process
from agent.kernel.process import Process
from agent.runtime.target import Target
from chrek.errors import ChrekError
from chrek.ids import HostPID, NamespacePID
from chrek.manifest import GPUDevice, GPUFacts, GPUProcess, Manifest

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
    if not users:
        return None
    inventory = await means.gpu.inventory()
    known.refuse_driver(inventory.driver)
    gpus = await _given(inventory, target, means)
    devices.refuse_divided(gpus)
    _refuse_shared(target, users, inventory)
    facts = _facts(users, gpus, inventory)
    await asyncio.to_thread(_plan, target, facts, means)  # refused now rather than later
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
        async with _roomy("capture", source.facts, target, means, source.processes), pause:
            yield
    except SourceLostError:
        target.kill()
        raise


@dataclass(frozen=True, slots=True)
class Placement:
    """facts: of the source. devices: old GPU -> new."""

    facts: GPUFacts
    devices: devices.DeviceMap


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
    await means.gpu.warm()
    inventory = await means.gpu.inventory()
    known.refuse_driver(inventory.driver)
    here = await _given(inventory, target, means)
    return Placement(manifest.gpu, devices.fitting(manifest.gpu, here, inventory.driver))


@contextlib.asynccontextmanager
async def roomy(placement: Placement | None, target: Target, means: Means) -> AsyncIterator[None]:
    """Room in host memory for the bytes that CRIU brings and the GPUs take, in the block; raises
    HostMemoryError."""
    if placement is None:
        yield
        return
    async with _roomy("restore", placement.facts, target, means):
        yield


@contextlib.asynccontextmanager
async def _roomy(
    kind: str, facts: GPUFacts, target: Target, means: Means, processes: Sequence[HostPID] = ()
) -> AsyncIterator[None]:
    with contextlib.ExitStack() as stack:
        plan = await asyncio.to_thread(_plan, target, facts, means)
        stack.enter_context(means.promised.promise(_bytes(facts)))
        before = hugepages.to_be_changed(wished=means.settings.huge_pages)
        changes = Changes(
            limits={change.path: change.before_bytes for change in plan},
            huge_pages=before,
            paused={pid: process.start_ticks(pid) or 0 for pid in processes},
        )
        stack.enter_context(operations.recorded(means.settings, kind, target, [], changes))
        async with limits.raised(plan):
            with hugepages.always(before):
                yield


async def resumed(placement: Placement, target: Target, root: NamespacePID, means: Means) -> None:
    """Bring the GPUs' bytes back and let the app go on, from its stop, in that order."""
    everything = await asyncio.to_thread(process.in_pid_namespace, target.init)
    top = next(each.host_pid for each in everything if each.pid == root)
    made = process.descendants(everything, top)
    numbers = {each.pid: each.host_pid for each in made}
    users = [numbers[NamespacePID(each.pid)] for each in placement.facts.processes]
    threads: list[int] = []
    for pid in users:
        thread = await means.gpu.restore_thread(pid)
        if thread is None:
            raise CUDAError(f"process {pid} of {target.name} lost its CUDA context")
        threads.append(thread)
    async with held([each.host_pid for each in made], threads):
        await tree.resumed(means.gpu, users, placement.devices)


async def _given(inventory: Inventory, target: Target, means: Means) -> list[GPU]:
    ids = await means.device_ids(target.pod) if target.pod else None
    return given.by_ids(inventory, ids) if ids else given.seen(inventory, target.init)


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


def _bytes(facts: GPUFacts) -> int:
    return sum(each.bytes for each in facts.processes)


def _plan(target: Target, facts: GPUFacts, means: Means) -> tuple[hostmemory.Raise, ...]:
    left_bytes = limits.node_bytes() - means.promised.total_bytes
    return hostmemory.plan(target.name, _bytes(facts), limits.levels(target), left_bytes)
