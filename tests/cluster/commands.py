"""Runs the machine's own programs, with nothing of the caller's environment."""

import subprocess
from collections.abc import Sequence

from .errors import ClusterError

# No proxy, no Go or Python setting of a person reaches the cluster.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C",
}


def run(command: Sequence[str], check: bool = True) -> str:
    """Run a command to its end, with `check` a good one; what it printed."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, cwd="/", check=False, timeout=120
    )
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ClusterError(f"{' '.join(command)}: exit status {done.returncode}: {said}")
    return done.stdout
