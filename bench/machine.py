"""Facts of the machine that a figure depends on; nothing that names it."""

import os
import platform
import shutil
from pathlib import Path

from agent.criu.bundle import Bundle
from agent.kernel import cpu, mounts
from bench import commands
from bench.failures import SideFailedError


def facts(bundle: Bundle, work: Path) -> dict[str, object]:
    """In the order in which they are printed."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_GiB": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "processor": cpu.model(),
        "kernel": ".".join(platform.release().split("-")[0].split(".")[:3]),
        "file_system": _file_system(work),
        "Python": platform.python_version(),
        "CRIU": bundle.criu_version,
        "runc": _runc(),
    }


def free_bytes() -> int:
    """Memory that nothing uses, not even a cache."""
    return _memory("MemFree")


def available_bytes() -> int:
    """Memory that programs can have."""
    return _memory("MemAvailable")


def _memory(name: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(name)


def _file_system(work: Path) -> str:
    resolved = work.resolve()
    found = [m for m in mounts.of("self") if resolved.is_relative_to(m.point)]
    return max(found, key=lambda mount: len(mount.point)).filesystem


def _runc() -> str:
    if shutil.which("runc") is None:
        return "missing"
    try:
        return commands.output(["runc", "--version"]).split()[2]
    except SideFailedError:
        return "unknown"
