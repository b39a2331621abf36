"""The node: namespaces that one process holds, and that end with it."""

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .commands import run
from .errors import ClusterError
from .layout import HERE, LOGS, NODE, NODE_PID, STATE

NAMESPACES = ("mount", "net", "uts", "ipc", "pid")
START_SECONDS = 20.0


@dataclass(frozen=True)
class Node:
    """A node that runs; `pid` is the host's number of its PID 1."""

    pid: int

    @property
    def root(self) -> Path:
        """The node's file system as the host sees it, its /proc included."""
        return Path(f"/proc/{self.pid}/root")

    def command(self, *command: str) -> list[str]:
        """What runs a command on the node, from the host."""
        options = [f"--{namespace}" for namespace in NAMESPACES]
        return ["nsenter", "--target", str(self.pid), *options, "--", *command]

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command on the node to its end; what it printed."""
        return run(self.command(*command), check)


def find() -> Node | None:
    """The node, if it runs."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(NODE_PID.read_text())
        if _is_init(pid):
            return Node(pid)
    return None


def start() -> Node:
    """Make the node's namespaces; nothing runs in them yet."""
    LOGS.mkdir(parents=True, exist_ok=True)
    NODE_PID.unlink(missing_ok=True)
    options = [f"--{namespace}" for namespace in NAMESPACES]
    command = ["unshare", *options, "--fork", "--propagation", "slave", sys.executable, "-I"]
    log = LOGS / "node.log"
    log.write_text("")
    # By way of a shell that ends, so that it is nobody's child.
    launch = ["sh", "-c", 'log=$1; shift; setsid "$@" </dev/null >"$log" 2>&1 & echo $!', "sh"]
    arguments = [str(log), *command, str(HERE / "init.py"), str(STATE), NODE]
    holder = Path("/proc", run([*launch, *arguments]).strip())
    deadline = time.monotonic() + START_SECONDS
    while not (node := find()):
        if not holder.exists() or time.monotonic() > deadline:
            raise ClusterError(f"the node did not start:\n{log.read_text()}")
        time.sleep(0.02)
    return node


def stop() -> None:
    """End the node: with PID 1 go its processes, mounts and networks."""
    if node := find():
        _kill(node.pid)
    NODE_PID.unlink(missing_ok=True)


def remove_state() -> None:
    """Remove all files of a node that has ended, but for its logs."""
    for entry in STATE.iterdir() if STATE.is_dir() else ():
        if entry == LOGS:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _is_init(pid: int) -> bool:
    """Whether this is the PID 1, of any checkout, and not one that got its number, or a zombie."""
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return str(STATE) in command and any(word.endswith("/cluster/init.py") for word in command)


def _kill(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        # It has ended when all of its namespace have.
        if not select.select([descriptor], [], [], 30)[0]:
            raise ClusterError(f"the node's PID 1 ({pid}) does not end: see /proc/{pid}/stack")
    finally:
        os.close(descriptor)
