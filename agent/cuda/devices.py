"""Which GPU takes the place of which, and whether it can: decided before any work. Pure."""

from collections.abc import Mapping, Sequence

from agent.cuda.driver import GPU_UUID
from agent.cuda.errors import (
    DriverDiffersError,
    GPUCountError,
    GPUMemoryError,
    GPUProductError,
    MIGError,
    VGPUError,
)
from agent.cuda.helper.model import GPU
from chrek.manifest import GPUDevice, GPUFacts

DeviceMap = Mapping[GPU_UUID, GPU_UUID]
"""Old -> new, of every GPU that the source had; empty where all stay the same."""

_GIB = 1 << 30


def fitting(facts: GPUFacts, here: Sequence[GPU], driver: str) -> DeviceMap:
    """How the source's GPUs map onto `here`, the placeholder's; raises an IncompatibleError that
    names what differs."""
    _comparable(facts, here, driver)
    chosen = _assigned(facts.devices, here)
    for old, new in chosen:
        if new.free_bytes < old.used_bytes:
            raise GPUMemoryError(
                f"{new.uuid} has {new.free_bytes / _GIB:.1f} GiB free, the source had "
                f"{old.used_bytes / _GIB:.1f} GiB on its {old.product}",
                hint="Another process holds the rest",
            )
    if all(old.uuid == new.uuid for old, new in chosen):
        return {}
    return {GPU_UUID(old.uuid): GPU_UUID(new.uuid) for old, new in chosen}


def refuse_divided(gpus: Sequence[GPU]) -> None:
    """Raise for GPUs that the driver cannot checkpoint a process on."""
    for gpu in gpus:
        if gpu.mig:
            raise MIGError(f"{gpu.uuid} is divided (MIG)", hint="Use a whole GPU")
        if gpu.vgpu:
            raise VGPUError(f"{gpu.uuid} is a virtual GPU", hint="Use a whole GPU")


def _comparable(facts: GPUFacts, here: Sequence[GPU], driver: str) -> None:
    if facts.driver != driver:
        raise DriverDiffersError(
            f"the source ran on driver {facts.driver}, this node has {driver}",
            hint="Capture a variant on this driver",
        )
    if len(facts.devices) != len(here):
        raise GPUCountError(
            f"the source had {len(facts.devices)} GPUs, the placeholder has {len(here)}"
        )
    before = sorted(device.product for device in facts.devices)
    now = sorted(gpu.product for gpu in here)
    if before != now:
        raise GPUProductError(
            f"the source ran on {', '.join(before)}, the placeholder has {', '.join(now)}",
            hint="Capture a variant on this kind of GPU",
        )
    refuse_divided(here)


def _assigned(devices: Sequence[GPUDevice], here: Sequence[GPU]) -> list[tuple[GPUDevice, GPU]]:
    """A GPU of the same product for each: the same one where it is here, and of the others the
    one with the most room for the one that needs the most."""
    left = {gpu.uuid: gpu for gpu in here}
    pairs = {old.uuid: left.pop(old.uuid) for old in devices if _same(old, left.get(old.uuid))}
    others = [old for old in devices if old.uuid not in pairs]
    for old in sorted(others, key=lambda device: device.used_bytes, reverse=True):
        choices = [gpu for gpu in left.values() if gpu.product == old.product]
        chosen = max(choices, key=lambda gpu: gpu.free_bytes)
        pairs[old.uuid] = left.pop(chosen.uuid)
    return [(old, pairs[old.uuid]) for old in devices]


def _same(old: GPUDevice, here: GPU | None) -> bool:
    return here is not None and here.product == old.product
