"""The faults: each strikes once, at the moment that its round has drawn."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.kernel import process
from agent.runtime.target import Target
from chrek.errors import ChrekError
from tests.chaos import checks, disks, hostile
from tests.chaos.cgroup import Cgroup
from tests.chaos.ground import ID, Command, Ground
from tests.chaos.plan import Round

EXIT = 7
"""With what the app ends that was told to."""


class Fault:
    """One fault of one round. `struck` says whether it found whom it was for, `told` what it did,
    `hit` which containers it may have ended."""

    def __init__(self, asked: Round, ground: Ground, claim: Path) -> None:
        self.asked, self.ground, self.claim = asked, ground, claim
        self.draw = random.Random(asked.seed)
        self.struck, self.told = False, ""
        self.hit: set[str] = set()
        self.others: list[Command] = []
        self.cgroup = Cgroup(ground.root.name)

    def strike(self, command: Command) -> None:
        """Wait for the moment, then do it, if the command still runs."""
        act = self._acts().get(self.asked.fault)
        if act is None:
            return
        while command.running and not self._moment(command):
            time.sleep(0.001)
        time.sleep(self.asked.delay_seconds)
        if command.running:
            act(command)

    def _moment(self, command: Command) -> bool:
        if self.asked.fault.endswith("-criu"):
            return bool(command.criu())
        return command.phases >= self.asked.phases

    def _acts(self) -> dict[str, Callable[[Command], None]]:
        source = self.asked.operation in ("capture", "replace")
        return {
            "kill-chrek": lambda command: self._signal([command.process.pid], signal.SIGKILL),
            "term-chrek": lambda command: self._signal([command.process.pid], signal.SIGTERM),
            "kill-inside": lambda command: self._signal(command.inside(), signal.SIGKILL),
            "kill-container": lambda _: self._signal(self.cgroup.processes(), signal.SIGKILL),
            "kill-criu": lambda command: self._signal(command.criu()[:1], signal.SIGKILL),
            "pause-criu": self._pause,
            "stuck-criu": lambda command: self._signal(command.criu()[:1], signal.SIGSTOP),
            "io-error": lambda _: self._disk(disks.break_down),
            "read-only": lambda _: self._disk(disks.make_read_only),
            "app-killed": lambda _: self._app_killed(source=source),
            "app-exits": lambda _: self._app_exits(),
            "init-killed": lambda _: self._each(self._init_killed, source=source),
            "shim-killed": lambda _: self._each(self._shim_killed, source=source),
            "stopped": lambda _: self._other("stop", self.draw.choice(self._copies() or ["copy"])),
            "damaged-meanwhile": lambda _: self._damaged(),
            "removed-meanwhile": lambda _: self._other("rm", ID),
            "replaced-meanwhile": lambda _: self._other(
                "checkpoint", "source", "--as", ID, "--replace"
            ),
        }

    def _signal(self, pids: list[int], number: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                self.struck = True

    def _pause(self, command: Command) -> None:
        found = command.criu()[:1]
        self._signal(found, signal.SIGSTOP)
        time.sleep(self.draw.uniform(0.1, 2.0))
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _disk(self, way: Callable[[Path], None]) -> None:
        way(self.claim)
        self.struck = True

    def _copies(self) -> list[str]:
        return [
            each.name
            for each in self.ground.machine.containers.list()
            if each.name.startswith("copy") and each.state == "running"
        ]

    def _each(self, act: Callable[[Target], None], *, source: bool) -> None:
        names = ["source"] if source else self._copies()[:1]
        for name in names:
            with suppress(ChrekError, ProcessLookupError):
                act(self.ground.target(name))
                self.struck = True
                self.hit.add(name)

    def _app_killed(self, *, source: bool) -> None:
        def act(target: Target) -> None:
            found = process.in_pid_namespace(target.init)
            app = [
                each for each in found if each.pid != 1 and b"life.py" in checks.line(each.host_pid)
            ]
            if not app:
                raise ProcessLookupError
            victim = app[0] if self.draw.random() < 0.5 else self.draw.choice(app)
            os.kill(victim.host_pid, signal.SIGKILL)
            self.told = f"killed PID {victim.pid}"

        self._each(act, source=source)

    def _app_exits(self) -> None:
        (self.ground.target("source").root / "tmp/ask").write_text(f"exit {EXIT}")
        self.struck = True
        self.hit.add("source")

    def _init_killed(self, target: Target) -> None:
        os.kill(target.init, signal.SIGKILL)

    def _shim_killed(self, target: Target) -> None:
        os.kill(process.read(target.init).parent, signal.SIGKILL)

    def _other(self, *arguments: str) -> None:
        self.others.append(self.ground.command(*arguments))
        self.struck = True
        if arguments[0] == "stop":
            self.hit.add(arguments[1])

    def _damaged(self) -> None:
        for path in self.ground.published():
            self.told = hostile.damage(path, self.draw)
            self.struck = True
