"""What NVML tells of a node."""

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """GPU memory of a process. pid: the host's. mps: it is a client of CUDA's MPS."""

    pid: int
    used_bytes: int
    mps: bool = False


class GPU(msgspec.Struct, frozen=True):
    """One GPU. minor: N of /dev/nvidiaN. mig: it is divided. vgpu: it is a share of a GPU that a
    hypervisor divided."""

    uuid: str
    product: str
    minor: int
    memory_bytes: int
    free_bytes: int
    mig: bool
    vgpu: bool
    processes: list[Usage]


class Inventory(msgspec.Struct, frozen=True):
    """The GPUs of a node, in NVML's order."""

    driver: str
    cuda: int
    gpus: list[GPU]
