"""Kernel modules that chrek needs: found, loaded, and named where they cannot be had.

In the agent's container there is no /lib/modules and no modprobe: the machine's own is run, in the
machine's root directory.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.machine import diag

_MACHINES_ROOT: Final = Path("/proc/1/root")
_PATIENCE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Modules:
    """loaded: which were not there before. missing: which cannot be had. why: modprobe's words."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    why: str = ""


def ensured() -> Modules:
    """What CRIU asks about sockets and filters, loaded if need be."""
    before = _loaded()
    missing, why = diag.missing_modules(), ""
    if missing:
        why = load(missing)
        missing = diag.missing_modules()
    fresh = _loaded() - before
    loaded = tuple(name for name in diag.MODULES if name in fresh)
    return Modules(loaded, tuple(missing), why if missing else "")


def load(names: list[str]) -> str:
    """Load modules of the machine; what modprobe complains of, empty if of nothing."""
    # A root directory that is our own needs no change, and may be one that we may not look at.
    elsewhere = os.access(_MACHINES_ROOT, os.X_OK) and not _MACHINES_ROOT.samefile("/")
    enter = ["chroot", str(_MACHINES_ROOT)] if elsewhere else []
    try:
        done = subprocess.run(
            [*enter, "modprobe", "--all", *names],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE_SECONDS,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return "there is no modprobe"
    except subprocess.TimeoutExpired:
        return f"modprobe did not end within {_PATIENCE_SECONDS:.0f} s"
    return done.stderr.strip().partition("\n")[0] if done.returncode else ""


def _loaded() -> set[str]:
    try:
        lines = Path("/proc/modules").read_text().splitlines()
    except FileNotFoundError:
        return set()  # a kernel without modules
    return {line.partition(" ")[0] for line in lines}
