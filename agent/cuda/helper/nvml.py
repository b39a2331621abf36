"""NVML, asked for what a node has. Only the helper imports this."""

from typing import Any

import pynvml

from agent.cuda.helper.model import GPU, Inventory, Usage


class NVMLMissingError(Exception):
    """NVML is not there, or finds no driver."""


def inventory() -> Inventory:
    """Every GPU of the node as it is now."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NVMLMissingError(str(error)) from error
    try:
        return Inventory(
            driver=str(pynvml.nvmlSystemGetDriverVersion()),
            cuda=int(pynvml.nvmlSystemGetCudaDriverVersion_v2()),
            gpus=[
                _gpu(pynvml.nvmlDeviceGetHandleByIndex(index))
                for index in range(pynvml.nvmlDeviceGetCount())
            ],
        )
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: Any) -> GPU:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    mode, _ = _asked(pynvml.nvmlDeviceGetMigMode, handle) or (0, 0)
    virtual = _asked(pynvml.nvmlDeviceGetVirtualizationMode, handle)
    return GPU(
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        product=str(pynvml.nvmlDeviceGetName(handle)),
        minor=int(pynvml.nvmlDeviceGetMinorNumber(handle)),
        memory_bytes=int(memory.total),
        free_bytes=int(memory.free),
        mig=mode == pynvml.NVML_DEVICE_MIG_ENABLE,
        vgpu=virtual == pynvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU,
        processes=_processes(handle),
    )


def _processes(handle: Any) -> list[Usage]:
    own = _asked(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    shared = _asked(pynvml.nvmlDeviceGetMPSComputeRunningProcesses, handle) or []
    clients = {int(found.pid) for found in shared}
    # usedGpuMemory is None where the driver does not tell.
    return [
        Usage(int(found.pid), int(found.usedGpuMemory or 0), int(found.pid) in clients)
        for found in (*own, *(one for one in shared if one.pid not in {o.pid for o in own}))
    ]


def _asked(question: Any, handle: Any) -> Any:
    """None where this GPU, driver or library does not know the question."""
    try:
        return question(handle)
    except pynvml.NVMLError:
        return None
