"""This machine's GPUs for a container: device nodes, and the driver where the container would not
see it.

A container has an overlay of the root file system, so what the driver installed there is there
already; only what is on a file system of its own has to be mounted.
"""

import os
import re
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.kernel import mounts
from chrek.errors import UsageError
from chrek.runspec import ALL_GPUS

_DEV = Path("/dev")
_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
_KNOWN = Path("/proc/driver/nvidia/gpus")
_LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")
_CACHED = re.compile(r"^\s*(\S+) \(.*\) => (/\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Attached:
    """Parts of an OCI configuration: linux.devices, linux.resources.devices, directories that
    are mounted read-only where this machine has them."""

    devices: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    directories: list[str]


def attached(gpus: list[str]) -> Attached:
    """What a container with `gpus` ("all", or UUIDs or numbers N of /dev/nvidiaN) gets; raises
    UsageError."""
    nodes = [*_nodes(gpus), *(_DEV / name for name in _SHARED if (_DEV / name).exists())]
    devices = [_device(path) for path in nodes]
    rules = [
        {"allow": True, "type": "c", "major": one["major"], "minor": one["minor"], "access": "rwm"}
        for one in devices
    ]
    return Attached(devices, rules, _directories())


def _nodes(gpus: list[str]) -> list[Path]:
    present = sorted(path for path in _DEV.glob("nvidia[0-9]*") if path.is_char_device())
    if not present:
        raise UsageError("this machine has no /dev/nvidia0: no GPU, or no driver that runs")
    if gpus == [ALL_GPUS]:
        return present
    known = minors()
    chosen: list[Path] = []
    for name in gpus:
        number = str(known[name]) if name in known else name
        path = _DEV / f"nvidia{number}"
        if path not in present:
            names = ", ".join([*known, *(one.name.removeprefix("nvidia") for one in present)])
            raise UsageError(f"--gpus {name}: there are {names}")
        chosen.append(path)
    return chosen


def minors() -> dict[str, int]:
    """UUID -> N of /dev/nvidiaN."""
    found: dict[str, int] = {}
    for path in sorted(_KNOWN.glob("*/information")):
        text = path.read_text(errors="replace")
        uuid = re.search(r"^GPU UUID:\s*(\S+)$", text, re.MULTILINE)
        minor = re.search(r"^Device Minor:\s*(\d+)$", text, re.MULTILINE)
        if uuid and minor:
            found[uuid[1]] = int(minor[1])
    return found


def _device(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {
        "path": str(path),
        "type": "c",
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _directories() -> list[str]:
    """Mount points of the driver's libraries, where that is not the root file system."""
    done = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False)
    places = {place for name, place in _CACHED.findall(done.stdout) if name in _LIBRARIES}
    places |= {
        f"{directory}/{name}"
        for directory in os.environ.get("LD_LIBRARY_PATH", "").split(":")
        for name in _LIBRARIES
        if directory.startswith("/")
    }
    points = {mount.point for mount in mounts.of("self")} - {"/"}
    paths = {path for place in places for path in (Path(place), Path(place).resolve())}
    above = {str(parent) for path in paths if path.exists() for parent in path.parents}
    return sorted(above & points)
