"""A second cluster beside the one of the other tests, to be started, hurt and ended."""

import os
import subprocess
import sys
from pathlib import Path

from .layout import REPOSITORY

NAME = "chrek-second"
STATE = Path("/var/lib") / NAME
SETTINGS = {
    **os.environ,
    "CHREK_CLUSTER_NAME": NAME,
    "CHREK_CLUSTER_NETWORK": "10.214",
    "CHREK_CLUSTER_LOAD": "pause,entrypoint",
}


def run(*words: str, code: int | None = 0) -> str:
    """Run `python -m tests.cluster` for the second cluster."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", *words],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=SETTINGS,
        timeout=300,
        check=False,
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
