"""Containers and checkpoints of one root directory, for all tests of a module."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.engine.restore import Choices, Restored, restore
from agent.trust.keys import Keyring
from chrek.cli import machine as machines
from chrek.cli.machine import Machine
from chrek.errors import ChrekError
from chrek.manifest import Manifest
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
        manifest: Manifest,
        *,
        namespace: str = "default",
        keys: Keyring | None = None,
    ) -> tuple[str, Restored | ChrekError]:
        """Start a placeholder and restore into it as the agent does; its name, and how it went."""
        name = f"p-{path.parent.name}"
        machine = self.machine
        assert manifest.spec is not None
        means = machine.means()
        if keys is not None:
            means = machines.Means(means.bundle, means.settings, keys)

        async def attempt() -> Restored | ChrekError:
            assert manifest.spec is not None
            target = await machine.start(name, manifest.spec)
            try:
                return await restore(target, path, means=means, choices=Choices(namespace))
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


def built(source: Path, place: Path) -> None:
    """Compile a test program, static: containers have whatever libraries they have."""
    command = ["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", place, source]
    subprocess.run(command, check=True)
