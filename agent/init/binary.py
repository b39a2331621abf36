"""Where the built chrek-init is, and putting it into a container's directory."""

import os
import subprocess
from functools import cache
from pathlib import Path

from chrek.errors import MachineError

_BUILT = Path(__file__).parent / "build" / "chrek-init"


def path() -> Path:
    """CHREK_INIT, or what `make` built; raises MachineError with the cure."""
    chosen = Path(os.environ.get("CHREK_INIT", _BUILT))
    if not chosen.is_file():
        raise MachineError(f"no chrek-init at {chosen}", hint="Run `make init`, or set CHREK_INIT")
    return chosen


def install(directory: Path) -> None:
    """Put chrek-init and its reaper into `directory`."""
    done = subprocess.run(
        [str(path()), "install", str(directory)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MachineError(f"chrek-init could not be installed: {done.stderr.strip()}")


@cache
def version() -> str:
    """What `chrek-init version` says."""
    done = subprocess.run([str(path()), "version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()
