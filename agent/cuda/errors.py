"""What goes wrong with a GPU, in CamelCase; and which of it the driver's own words mean."""

from collections.abc import Mapping
from types import MappingProxyType

from chrek.errors import ChrekError, IncompatibleError, RefusedError


class NoDriverError(ChrekError):
    """This node has no NVIDIA driver, or no GPU that it drives."""

    reason = "NoGPUDriver"


class DriverTooOldError(RefusedError):
    """The driver knows no checkpoints."""

    reason = "DriverTooOld"


class DriverKnownBadError(RefusedError):
    """A version of the driver that is known to lose or hang what it checkpoints."""

    reason = "DriverKnownBad"


class ManagedMemoryError(RefusedError):
    """The driver does not checkpoint unified memory, nor memory shared between processes."""

    reason = "ManagedMemory"


class HalfOpenError(RefusedError):
    """A process has the GPU's device mapped, and nothing that the driver would checkpoint."""

    reason = "GPUWithoutContext"


class MIGError(RefusedError):
    reason = "MIG"


class MPSError(RefusedError):
    reason = "MPS"


class VGPUError(RefusedError):
    reason = "VGPU"


class HostMemoryError(RefusedError):
    """What is on the GPU does not fit into host memory, where it is during a checkpoint."""

    reason = "HostMemoryShort"
    retry = True


class GPUBusyError(ChrekError):
    """The GPU's work did not come to an end while the driver waited to lock the process."""

    reason = "GPUBusy"
    retry = True


class HelperError(ChrekError):
    """The process that asks the driver hung or died, and was started again."""

    reason = "GPUHelperFailed"
    retry = True


class CUDAError(ChrekError):
    """The driver said no. result: its own name for it, such as CUDA_ERROR_ILLEGAL_STATE."""

    reason = "CUDAFailed"

    def __init__(self, message: str, *, result: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.result = result


class SourceLostError(ChrekError):
    """The GPU state of a process could not be brought back; its container is ended."""

    reason = "SourceLost"


class GPUProductError(IncompatibleError):
    reason = "GPUProductDiffers"


class GPUCountError(IncompatibleError):
    reason = "GPUCountDiffers"


class GPUMemoryError(IncompatibleError):
    reason = "GPUMemoryShort"
    retry = True


class DriverDiffersError(IncompatibleError):
    reason = "DriverDiffers"


class GPUsUnknownError(ChrekError):
    """Nobody told which GPUs a container was given."""

    reason = "GPUsUnknown"
    retry = True


NO_CONTEXT = frozenset({"CUDA_ERROR_NOT_INITIALIZED", "CUDA_ERROR_INVALID_VALUE"})
"""The answers for a process that does not use CUDA."""

_BY_CALL: Mapping[tuple[str, str], type[ChrekError]] = MappingProxyType(
    {
        ("lock", "CUDA_ERROR_NOT_READY"): GPUBusyError,
        ("lock", "CUDA_ERROR_TIMEOUT"): GPUBusyError,
        ("lock", "CUDA_ERROR_NOT_SUPPORTED"): ManagedMemoryError,
        ("checkpoint", "CUDA_ERROR_NOT_SUPPORTED"): ManagedMemoryError,
        ("checkpoint", "CUDA_ERROR_OUT_OF_MEMORY"): HostMemoryError,
        ("restore", "CUDA_ERROR_OUT_OF_MEMORY"): GPUMemoryError,
    }
)


def of_result(call: str, result: str, who: str) -> ChrekError:
    """The error that `result`, the CUresult of `call` on the process `who`, means."""
    kind = _BY_CALL.get((call, result))
    if kind is ManagedMemoryError:
        return kind(
            f"{who} holds GPU memory that the driver cannot checkpoint ({call}: {result})",
            hint="Unified (managed) memory, or memory shared between processes",
        )
    if kind is not None:
        return kind(f"{call} of {who}: {result}")
    return CUDAError(f"{call} of {who}: {result}", result=result)
