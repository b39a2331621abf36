"""The node's cgroup: below it are all that the kubelet makes."""

import os
import time
from pathlib import Path

from .errors import ClusterError
from .layout import CGROUP

ROOT = Path("/sys/fs/cgroup")
# Against a process of the machine a cgroup counts as one, whatever it holds, and a busy machine
# would leave all pods together so little that they fail their probes. So it counts as 16.
WEIGHTS = {"cpu.shares": "16384", "cpu.weight": "1600"}  # v1, v2


def make() -> None:
    """In every hierarchy."""
    for hierarchy in _hierarchies():
        made = hierarchy / CGROUP
        made.mkdir(exist_ok=True)
        for name, weight in WEIGHTS.items():
            if (made / name).exists():
                (made / name).write_text(weight)


def remove() -> None:
    """With what is below; no process is left in them."""
    for hierarchy in _hierarchies():
        _remove(hierarchy / CGROUP)


def _hierarchies() -> list[Path]:
    """Where cgroups are made: every v1 hierarchy once, or the one of v2."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink()]


def _remove(path: Path) -> None:
    """Empty cgroups from the leaves up; a process that is ending keeps one for a moment."""
    deadline = time.monotonic() + 10
    for folder, _, _ in os.walk(path, topdown=False):
        while True:
            try:
                Path(folder).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ClusterError(f"the cgroup {folder} cannot be removed: {error}") from error
                time.sleep(0.05)
