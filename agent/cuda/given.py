"""Which GPUs a container has: as the kubelet gave them, else as the container sees them."""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from agent.cuda.errors import GPUsUnknownError
from agent.cuda.helper.model import GPU, Inventory
from agent.kernel import cgroups
from chrek.ids import HostPID

_DEV = "/dev"
_MAJOR = 195  # fixed; https://www.kernel.org/doc/Documentation/admin-guide/devices.txt
_UUID = re.compile(r"GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBERED = re.compile(r"gpu-(\d{1,3})")
_CONTROL_MINORS = 250  # from there on: nvidia-modeset, nvidiactl


def by_ids(inventory: Inventory, ids: Iterable[str]) -> list[GPU]:
    """GPUs that device ids name, as NVIDIA's device plugin (`GPU-...`, `GPU-...::3` when shared)
    and DRA driver (`gpu-3`: of /dev/nvidia3) write them; raises GPUsUnknownError."""
    names = list(ids)
    wanted = {found[0] for text in names if (found := _UUID.search(text))}
    minors = {int(found[1]) for text in names if (found := _NUMBERED.fullmatch(text))}
    gpus = [gpu for gpu in inventory.gpus if gpu.uuid in wanted or gpu.minor in minors]
    if not gpus:
        raise GPUsUnknownError(
            f"the container was given {', '.join(names)}, and no GPU here is that",
            hint="Parts of a GPU (MIG) cannot be checkpointed",
        )
    return gpus


def chosen(inventory: Inventory, names: Iterable[str]) -> list[GPU]:
    """GPUs as `chrek run --gpus` names them, by UUID or by number; raises GPUsUnknownError."""
    return by_ids(inventory, (f"gpu-{name}" if name.isdigit() else name for name in names))


def seen(inventory: Inventory, init: HostPID) -> list[GPU]:
    """GPUs whose device nodes the container of `init` has and may open: CUDA's library makes the
    nodes that it misses, also of GPUs that are not the container's. Raises GPUsUnknownError."""
    minors = _minors(Path(f"/proc/{init}/root{_DEV}")) - _forbidden(init)
    found = [gpu for gpu in inventory.gpus if gpu.minor in minors]
    if not found:
        raise GPUsUnknownError(
            "the container has no GPU's device node",
            hint="It needs nvidia.com/gpu in its limits, or `chrek run --gpus`",
        )
    return found


def has_any(init: HostPID) -> bool:
    """Whether the container of `init` has a GPU's device node."""
    return bool(_minors(Path(f"/proc/{init}/root{_DEV}")))


def _forbidden(init: HostPID) -> set[int]:
    """Minor numbers of GPUs that the devices cgroup of `init` keeps from it. Version 2 has a
    program in its place, which cannot be read."""
    for hierarchy, path in cgroups.of(init).items():
        if hierarchy == "devices":
            allowed = cgroups.directory(hierarchy, path) / "devices.list"
            try:
                return forbidden(allowed.read_text())
            except OSError:
                return set()
    return set()


def forbidden(allowed: str) -> set[int]:
    """Minor numbers that no line of a devices.list allows."""
    wide = re.compile(rf"^(a|c (\*|{_MAJOR}):\*) ", re.MULTILINE)
    if wide.search(allowed):
        return set()
    lines = re.findall(rf"^c (?:\*|{_MAJOR}):(\d+) ", allowed, re.MULTILINE)
    return set(range(_CONTROL_MINORS)) - {int(minor) for minor in lines}


def _minors(directory: Path) -> set[int]:
    found: set[int] = set()
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _MAJOR:
                    found.add(os.minor(status.st_rdev))
    except OSError as error:
        raise GPUsUnknownError(f"the container's /dev cannot be looked at: {error}") from error
    return {minor for minor in found if minor < _CONTROL_MINORS}
