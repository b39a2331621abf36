"""Containers and checkpoints of one root directory, for all tests of a module."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.engine.restore import Choices, Restored, restore
from agent.runtime.target import Target
from chrek.cli import machine as machines
from chrek.cli.machine import Machine
from chrek.errors import ChrekError
from chrek.runspec import RunSpec
from tests.machine.conftest import Chrek, leftovers, processes_of, wait_for

PROGRAMS = Path(__file__).parent / "programs"


class Place(Chrek):
    """The `chrek` command, and the engine itself, below one root."""

    @property
    def machine(self) -> Machine:
        return machines.open_machine(self.root)

    def checkpoint(self, name: str) -> Path:
        """Capture a container; where the checkpoint is."""
        self("checkpoint", name, "--as", name)
        return next((self.root / "checkpoints/default" / name).iterdir())

    def tried(
        self,
        path: Path,
        spec: RunSpec,
        *,
        namespace: str = "default",
        before: Callable[[Target], object] = lambda _: None,
    ) -> tuple[str, Restored | ChrekError]:
        """Start a placeholder of `spec` and restore into it as the agent does; its name, and how
        it went. before: done with the placeholder before the restore."""
        name = f"p-{path.parent.name}"
        machine = self.machine

        async def attempt() -> Restored | ChrekError:
            target = await machine.start(name, spec)
            before(target)
            choices = Choices(namespace)
            try:
                return await restore(target, path, means=machine.means(), choices=choices)
            except ChrekError as error:
                return error

        return name, asyncio.run(attempt())


@contextmanager
def opened(shim: str | None) -> Iterator[Place]:
    """Afterwards nothing of it is left on the machine."""
    root = Path(tempfile.mkdtemp(prefix="chrek-trust-", dir="/var/lib"))
    environment = dict(os.environ)
    if shim is not None:
        environment["CHREK_TEST_PRLIMIT_SHIM"] = shim
    place = Place(root, environment)
    try:
        yield place
        left = leftovers(root)
    finally:
        containers = place.machine.containers
        for container in containers.list():
            containers.stop(container.name, grace_seconds=1)
        shutil.rmtree(root, ignore_errors=True)
    assert not left
    wait_for(lambda: not processes_of(root), "the test's processes to end")
