"""Containers that are captured and restored in this process, and the words of what runs in them."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.engine.capture import Capture, capture
from agent.engine.restore import Choices, restore
from agent.init import words
from agent.kernel import process
from agent.runtime.runc.containers import Container
from agent.runtime.target import Target
from agent.store.checkpoints import Stored
from chrek.cli import machine as machines
from chrek.cli.machine import Machine
from chrek.errors import NotFoundError
from chrek.ids import checkpoint_id
from chrek.runspec import RunSpec, Volume
from tests.machine.conftest import PYTHON, leftovers, processes_of, wait_for

PROGRAMS = Path(__file__).parent / "programs"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Life:
    """One container that runs."""

    machine: Machine
    target: Target

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def _described(self) -> Container:
        return self.machine.containers.describe(self.name)

    @property
    def address(self) -> str:
        address = self._described.address
        assert address is not None
        return address

    @property
    def log(self) -> str:
        log = self.machine.containers.places(self.name).log
        return log.read_text(errors="replace") if log.exists() else ""

    @property
    def processes(self) -> list[process.Process]:
        """All of its PID namespace but chrek's own two."""
        found = process.in_pid_namespace(self.target.init)
        return [one for one in found if one.name not in ("chrek:running", "chrek-reaper")]

    @property
    def running(self) -> bool:
        return self._described.state == "running"

    def exit_status(self) -> int | None:
        """How it ended, once it has."""
        wait_for(lambda: self._described.state == "exited", f"{self.name} to end")
        return self._described.status

    def path(self, inner: str) -> Path:
        """A path of the container as this machine sees it."""
        return self.target.root / inner.lstrip("/")

    def ask(self, question: str = "") -> Any:
        """What the program answers (programs/asking.py)."""
        answer = self.path("/tmp/answer")
        self.path("/tmp/question").write_text(question)
        self.path("/tmp/question").rename(self.path("/tmp/ask"))
        wait_for(lambda: answer.exists() or not self.running, f"{self.name} to answer")
        assert self.running, self.log
        told = json.loads(answer.read_text())
        answer.unlink()
        return told

    def says(self, text: str) -> None:
        """Wait until the log has `text`."""

        def said() -> bool:
            assert text in self.log or self.running, self.log
            return text in self.log

        wait_for(said, f"{self.name} to say {text!r}; it said {self.log!r}")


@dataclass
class Lives:
    """All containers and checkpoints of one root directory."""

    root: Path
    _stored: dict[str, Stored] = field(default_factory=dict)

    @property
    def machine(self) -> Machine:
        return machines.open_machine(self.root)

    def start(self, name: str, *command: str, ready: str = "ready", **spec: Any) -> Life:
        """A container of `command` that has said that it is ready. A command that begins with the
        name of a program of this directory is run by Python."""
        life = self.placeholder(name, *command, **spec)
        asyncio.run(words.cold(life.target, "a test"))
        life.says(ready)
        return life

    def placeholder(self, name: str, *command: str, **spec: Any) -> Life:
        """A container whose chrek-init waits for a word."""
        argv = list(command)
        if (PROGRAMS / argv[0]).suffix == ".py":
            argv = [PYTHON, f"/programs/{argv[0]}", *argv[1:]]
        spec.setdefault("volumes", []).append(Volume(str(PROGRAMS), "/programs", read_only=True))
        spec["env"] = {"PATH": _PATH, "PYTHONDONTWRITEBYTECODE": "1"} | spec.get("env", {})
        made = RunSpec(argv=argv, cwd="/", **spec)
        machine = self.machine
        return Life(machine, asyncio.run(machine.start(name, made)))

    def capture(self, life: Life) -> Stored:
        """A checkpoint with the name of the container."""
        asked = Capture(life.target, checkpoint_id(life.name), replace=True)
        machine = self.machine
        return asyncio.run(capture(asked, store=machine.store, means=machine.means()))

    def restore(self, stored: Stored, name: str) -> Life:
        (life,) = self.restore_all(stored, [name])
        return life

    def restore_all(self, stored: Stored, names: list[str]) -> list[Life]:
        """Containers restored side by side; raises ChrekError of the first that fails."""
        machine, spec = self.machine, stored.manifest.spec
        assert spec is not None

        async def one(name: str) -> Target:
            target = await machine.start(name, spec)
            choices = Choices(machine.settings.namespace)
            await restore(target, stored.path, means=machine.means(), choices=choices)
            return target

        async def everyone() -> list[Target]:
            return list(await asyncio.gather(*(one(name) for name in names)))

        return [Life(machine, target) for target in asyncio.run(everyone())]

    def again(self, life: Life, name: str) -> Life:
        """A copy of a container, which runs on."""
        return self.restore(self.capture(life), name)

    def stop(self, *names: str) -> None:
        for name in names:
            with suppress(NotFoundError):
                self.machine.containers.stop(name, grace_seconds=0.5)

    def stop_all(self) -> None:
        self.stop(*(container.name for container in self.machine.containers.list()))


@contextmanager
def opened() -> Iterator[Lives]:
    """Afterwards nothing of it is left on the machine."""
    root = Path(tempfile.mkdtemp(prefix="chrek-lives-", dir="/var/lib"))
    lives = Lives(root)
    try:
        yield lives
        left = leftovers(root)
    finally:
        lives.stop_all()
        mounted = [row for row in Path("/proc/mounts").read_text().splitlines() if str(root) in row]
        shutil.rmtree(root, ignore_errors=True)
    assert not left
    assert not mounted
    wait_for(lambda: not processes_of(root), "the test's processes to end")
