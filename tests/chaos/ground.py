"""One root directory with its containers, checkpoints and commands, and what is known of them."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agent.init import words
from agent.kernel import process
from agent.runtime.target import Target
from agent.store import checkpoints
from chrek.cli import machine as machines
from chrek.cli.machine import Machine
from chrek.errors import ChrekError, NotFoundError
from chrek.ids import CheckpointID
from chrek.runspec import RunSpec, Volume

PYTHON = "/usr/bin/python3"
PROGRAMS = Path(__file__).parent / "programs"
DEADLINE_SECONDS = 90.0
ID = CheckpointID("chaos")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts")


class Wrong(Exception):  # noqa: N818 - what a round finds is no failure of the runner
    """What must not be."""


def wait_for(true: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Wrong(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.02)


class Command:
    """One `chrek` command under way; `phases` is how many have ended."""

    def __init__(self, root: Path, arguments: tuple[str, ...], prefix: tuple[str, ...]) -> None:
        line = [*prefix, sys.executable, "-m", "chrek.cli.main", "--root", str(root), "-v"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        self.process = subprocess.Popen(
            [*line, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            cwd="/",
        )
        self.arguments = arguments
        self.phases = 0
        self.out: list[str] = []
        self.said: list[str] = []
        self.seen: dict[int, int] = {}
        self._shims: set[int] = set()
        self._threads = [
            threading.Thread(target=each, daemon=True)
            for each in (self._read_out, self._read_said, self._look)
        ]
        for thread in self._threads:
            thread.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        self.out.extend(self.process.stdout)

    def _read_said(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            self.phases += " chrek.phase phase " in line

    def _look(self) -> None:
        """What this command has started; containers' shims live on by design."""
        while self.process.returncode is None:
            for pid in descendants(self.process.pid, self._shims):
                if pid not in self.seen and (ticks := process.start_ticks(pid)) is not None:
                    self.seen[pid] = ticks
            time.sleep(0.005)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def ended(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Its exit code; raises Wrong when it does not end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Wrong(f"`{self}` did not end in {seconds:.0f} s") from None
        for thread in self._threads:
            thread.join(10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code

    @property
    def json(self) -> Any:
        return json.loads("".join(self.out))

    @property
    def error(self) -> str:
        lines = [line.strip() for line in self.said if line.startswith("chrek:")]
        if "--json" in self.arguments:
            lines += [line.strip() for line in self.out if '"message"' in line]
        return " | ".join(lines)[:400] or "".join(self.said)[-400:]

    def alive(self) -> list[int]:
        """Processes of its own that it has left."""
        return [
            pid
            for pid, ticks in list(self.seen.items())  # others still run, and are looked at
            if process.same(pid, ticks) and not _is_zombie(pid) and not _is_container(pid)
        ]

    def inside(self) -> list[int]:
        """The processes that enter containers for it."""
        return [pid for pid in descendants(self.process.pid) if b"agent/inside" in _line(pid)]

    def criu(self) -> list[int]:
        found = [child for pid in self.inside() for child in descendants(pid)]
        return [pid for pid in found if _line(pid).startswith(b"criu\0")]

    def __str__(self) -> str:
        return "chrek " + " ".join(self.arguments)


def _line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _is_container(pid: int) -> bool:
    """Whether it is a container's shim, or what runs in one and is not to enter or leave it: then
    the container answers for it."""
    line = _line(pid)
    if b"agent/inside" in line or line.startswith(b"criu\0"):
        return False
    try:
        return b"runc.shim" in line or "/chrek/chrek-" in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def _is_zombie(pid: int) -> bool:
    try:
        return process.read(pid).state == "Z"
    except OSError:
        return True


def descendants(pid: int, shims: set[int] | None = None) -> list[int]:
    """Everything below `pid` but shims and what is below them. shims: those that were seen, as one
    that dies has lost its command line before its children."""
    known = shims if shims is not None else set()
    found = [pid]
    for parent in found:
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            lines = [(task / "children").read_text().split() for task in tasks]
        except OSError:
            continue
        children = [int(each) for line in lines for each in line]
        known.update(each for each in children if b"runc.shim" in _line(each))
        found += [each for each in children if each not in known]
    return found[1:]


@dataclass
class Ground:
    """All of it below `root`. namespaces: that containers had, held open: else the number of one
    that is gone is soon another's."""

    root: Path
    namespaces: dict[str, int] = field(default_factory=dict)
    canary: Path = field(init=False)

    def __post_init__(self) -> None:
        self.canary = self.root / "canary"
        self.canary.mkdir(exist_ok=True)
        (self.canary / "bird").write_text("sings")

    def close(self) -> None:
        """Let go of the namespaces."""
        for descriptor in self.namespaces.values():
            os.close(descriptor)
        self.namespaces.clear()

    def canary_names(self) -> list[str]:
        return [path.name for path in self.canary.iterdir()]

    @property
    def machine(self) -> Machine:
        return machines.open_machine(self.root)

    def spec(self, program: str, *, private: bool) -> RunSpec:
        network: Literal["host", "private"] = "private" if private else "host"
        return RunSpec(
            argv=[PYTHON, "/programs/life.py", program],
            cwd="/",
            network=network,
            env={"PATH": _PATH, "PYTHONDONTWRITEBYTECODE": "1"},
            volumes=[
                Volume(str(PROGRAMS), "/programs", read_only=True),
                Volume(str(self.canary), "/canary"),
            ],
        )

    def source(self, program: str, *, private: bool) -> Target:
        """A container that runs the program and is ready."""
        target = self.placeholder("source", self.spec(program, private=private))
        asyncio.run(words.cold(target, "chaos"))
        wait_for(lambda: "ready" in self.log("source"), "the source to be ready")
        return target

    def placeholder(self, name: str, spec: RunSpec) -> Target:
        """A container that waits for a word."""
        target = asyncio.run(self.machine.start(name, spec))
        self.note(target.init)
        return target

    def note(self, init: int) -> None:
        """Remember namespaces and cgroups, to see afterwards that nobody is left in them."""
        for name in NAMESPACES:
            try:
                path = Path(f"/proc/{init}/ns/{name}")
                link = str(path.readlink())
                own = str(Path(f"/proc/self/ns/{name}").readlink())
                if link not in (own, *self.namespaces):
                    self.namespaces[link] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return

    def command(self, *arguments: str, prefix: tuple[str, ...] = ()) -> Command:
        return Command(self.root, arguments, prefix)

    def done(self, *arguments: str) -> Command:
        """A command that must work."""
        command = self.command(*arguments)
        code = command.ended()
        if code:
            raise Wrong(f"`{command}` gave {code}: {command.error}")
        return command

    def target(self, name: str) -> Target:
        return self.machine.containers.target(name)

    def log(self, name: str) -> str:
        log = self.machine.containers.places(name).log
        return log.read_text(errors="replace") if log.exists() else ""

    def tidy(self) -> None:
        """What every command begins with."""
        asyncio.run(self.machine.tidy())

    def published(self) -> list[Path]:
        store = self.machine.store
        return [path for identifier in store.ids() for path in store.every_variant(identifier)]

    def verify(self) -> None:
        """Every published checkpoint is whole."""
        for path in self.published():
            try:
                checkpoints.verify(path, self.machine.keys())
            except ChrekError as error:
                raise Wrong(f"published {path.name} does not verify: {error}") from error

    def stop(self, name: str) -> None:
        with suppress(ChrekError):
            self.note(self.target(name).init)
        with suppress(NotFoundError):
            self.machine.containers.stop(name, grace_seconds=0.2)

    def stop_all(self) -> None:
        for container in self.machine.containers.list():
            self.stop(container.name)
