"""Taking a PID of an image in a placeholder before its restore."""

import subprocess
import sys
from pathlib import Path

from agent.runtime.target import Target
from agent.store import checkpoints
from agent.trust.keys import Keyring

_TAKE = """
import os, sys, time
counter = os.open("/proc/sys/kernel/ns_last_pid", os.O_WRONLY)
os.write(counter, str(int(sys.argv[1]) - 1).encode())
child = os.fork()
if child == 0:
    for number in range(3):
        os.close(number)
    time.sleep(600)
print(child, flush=True)
"""


def take(target: Target, path: Path, keys: Keyring) -> str:
    """Have a process there with the PID of the image's root; what was done."""
    wanted = checkpoints.load(path, keys).facts.root_pid
    # A proc of its own, as the container's /proc/sys is read-only.
    script = 'mount -t proc proc /proc && exec "$@"'
    enter = ["nsenter", "-t", str(target.init), "-p", "unshare", "-m", "sh", "-c", script, "sh"]
    command = [*enter, sys.executable, "-c", _TAKE, str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise RuntimeError(done.stderr)
    return f"PID {wanted} taken by {done.stdout.strip()}"
