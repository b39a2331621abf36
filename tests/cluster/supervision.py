"""Starts programs on the node and asks how they are.

A program's PID file holds its PID on the node, and when it started in ticks.
"""

import contextlib
import http.client
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from .commands import ENVIRONMENT
from .errors import ClusterError
from .layout import CONTAINERD, LOGS, RUNNING
from .node import Node
from .programs import Program

TAIL_LINES = 25
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 15.0
# In the node's own shell, which ends: what it leaves behind is PID 1's child.
START = (
    'log=$1 file=$2; shift 2; setsid "$@" </dev/null >>"$log" 2>&1 &'
    ' echo $! $(cut -d" " -f22 /proc/$!/stat) >"$file"'
)


def start(node: Node, program: Program) -> None:
    """Start a program that does not run; its log is added to."""
    for folder in (LOGS, RUNNING):
        folder.mkdir(parents=True, exist_ok=True)
    arguments = [str(_log(program)), str(_pid_file(program)), *program.command]
    done = subprocess.run(
        node.command("sh", "-c", START, "start", *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd="/",
        timeout=30,
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"{program.name} could not be started: {done.stderr.strip()}")


def end(node: Node, program: Program) -> None:
    """End a program that runs but is not well."""
    if pid := pid_on_node(node, program):
        node.run("kill", "-KILL", str(pid), check=False)
        deadline = time.monotonic() + 10
        while pid_on_node(node, program) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def pid_on_node(node: Node, program: Program) -> int | None:
    """The program's PID as the node counts; None if it has ended."""
    with contextlib.suppress(OSError, ValueError):
        pid, started = _pid_file(program).read_text().split()
        # Fields from the third on; the second, in parentheses, may hold anything.
        fields = (node.root / "proc" / pid / "stat").read_text().rpartition(")")[2].split()
        if fields[0] not in "ZX" and fields[19] == started:  # and not one that got its number
            return int(pid)
    return None


def is_current(node: Node, program: Program) -> bool:
    """Whether what runs is this program, and neither other arguments nor a file since replaced."""
    if not (pid := pid_on_node(node, program)):
        return False
    process = node.root / "proc" / str(pid)
    words = (process / "cmdline").read_text().split("\0")[:-1]
    replaced = str((process / "exe").readlink()).endswith(" (deleted)")
    return words == program.command and not replaced


def is_well(node: Node, program: Program) -> bool:
    """Whether it runs and answers."""
    if not pid_on_node(node, program):
        return False
    if program.health:
        return _answers(program.health)
    if program.name == "containerd":
        return _listens(f"{node.root}{CONTAINERD}")
    return True


def is_well_soon(node: Node, program: Program) -> bool:
    """Whether it runs and answers, with patience: on a busy machine an answer takes long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (well := is_well(node, program)) and time.monotonic() < deadline:
        if not pid_on_node(node, program):
            break
        time.sleep(POLL_SECONDS)
    return well


def wait_until_well(node: Node, program: Program) -> None:
    """Give it time to start; on failure the error carries the end of its log."""
    deadline = time.monotonic() + program.health_seconds
    while not is_well(node, program):
        ended = not pid_on_node(node, program)
        if ended or time.monotonic() > deadline:
            what = "ended" if ended else f"was not well after {program.health_seconds:.0f} s"
            raise ClusterError(f"{program.name} {what}; {tail(_log(program))}")
        time.sleep(POLL_SECONDS)


def tail(log: Path) -> str:
    """The last lines of a log, with its path."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"{log} ends with:", *lines[-TAIL_LINES:]])


def _log(program: Program) -> Path:
    return LOGS / f"{program.name}.log"


def _pid_file(program: Program) -> Path:
    return RUNNING / f"{program.name}.pid"


def _answers(url: str) -> bool:
    # Each has a certificate of its own making, and only whether it answers is asked.
    context = ssl._create_unverified_context()
    no_proxy = urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(no_proxy, urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError, http.client.HTTPException):
        return False


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True
