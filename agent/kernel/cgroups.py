"""Control groups of a process: which they are, and how to join them.

Standard library only: agent.inside imports this before it enters a container.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path

_MACHINES = Path("/proc/1/root/sys/fs/cgroup")
_OWN = Path("/sys/fs/cgroup")
ROOT = _MACHINES if os.access(_MACHINES, os.X_OK) else _OWN
"""As the machine has it, where that can be looked at: a container is shown its own part of each
hierarchy only."""


def of(pid: int | str) -> dict[str, str]:
    """The cgroup path of `pid` by hierarchy, as /proc/PID/cgroup names them ("" is v2)."""
    paths: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, hierarchy, path = line.split(":", 2)
        paths[hierarchy] = path
    return paths


def directory(hierarchy: str, path: str) -> Path:
    """Where the cgroup `path` of `hierarchy` is seen on this machine."""
    if hierarchy == "":
        unified = ROOT / "unified"
        base = unified if unified.is_dir() else ROOT
    else:
        base = ROOT / hierarchy.removeprefix("name=")
    return base / path.lstrip("/")


def hierarchy(controller: str, paths: dict[str, str]) -> str:
    """Which hierarchy of `paths` has a controller: one of v1, else that of v2."""
    return next((each for each in paths if controller in each.split(",")), "")


def charged(pid: int) -> Path:
    """The cgroup that the memory of `pid` is charged to. Raises OSError once that is gone."""
    paths = of(pid)
    memory = hierarchy("memory", paths)
    if memory not in paths:
        raise FileNotFoundError(errno.ENOENT, f"process {pid} is in no cgroup that counts memory")
    return directory(memory, paths[memory])


def open_procs(paths: dict[str, str]) -> list[int]:
    """Descriptors of every cgroup.procs of `paths`, to be written once inside is prepared."""
    descriptors: list[int] = []
    for hierarchy, path in paths.items():
        procs = directory(hierarchy, path) / "cgroup.procs"
        # A hybrid machine lists the v2 hierarchy without anybody having mounted it.
        if hierarchy == "" and not procs.exists():
            continue
        descriptors.append(os.open(procs, os.O_WRONLY | os.O_CLOEXEC))
    return descriptors


def join(descriptors: list[int]) -> None:
    """Move the calling process into the cgroups that open_procs opened, and close them."""
    for descriptor in descriptors:
        try:
            os.write(descriptor, b"0")
        finally:
            os.close(descriptor)


def leave() -> None:
    """Move the calling process to the top of each hierarchy that lets it: a cgroup that hands out
    controllers has no processes of its own, and the machine itself may be a container."""
    for hierarchy in of("self"):
        with suppress(OSError):
            join(open_procs({hierarchy: "/"}))
