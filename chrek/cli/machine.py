"""What the commands work on: settings, store, containers and bundle of this machine."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from agent import settings as settings_module
from agent.criu.bundle import find
from agent.engine import operations
from agent.engine.means import Means
from agent.runtime.runc.containers import Containers
from agent.runtime.runc.places import DEFAULT_ROOT
from agent.runtime.target import Target
from agent.settings import Settings
from agent.store.checkpoints import Checkpoints
from agent.trust import local
from agent.trust.keys import Keyring
from chrek.errors import MachineError, UsageError
from chrek.runspec import RunSpec


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything below one root directory."""

    settings: Settings
    containers: Containers
    store: Checkpoints

    def means(self) -> Means:
        """What the engine works with; raises MachineError without a CRIU bundle."""
        return Means(find(), self.settings, self.keys())

    def keys(self) -> Keyring:
        """The keys of this machine, made at first use; raises SigningKeyError."""
        return local.local(self.settings.root)

    async def start(self, name: str, spec: RunSpec) -> Target:
        """Start a container that waits to hear whether it is restored or cold."""
        wait_seconds = self.settings.first_word_seconds
        return await asyncio.to_thread(self.containers.start, name, spec, wait_seconds=wait_seconds)

    async def tidy(self) -> None:
        """Undo what killed commands left, before anything new begins."""
        undone = await operations.tidy(self.settings)
        for record in undone:
            print(
                f"chrek: cleaned up after a {record.kind} of {record.name} that was killed",
                file=sys.stderr,
            )
        self.containers.tidy()
        self.store.tidy(operations.staging_in_use(self.settings))


def open_machine(root: Path | None) -> Machine:
    """The machine's state below `root`, CHREK_ROOT or the default; raises MachineError."""
    if sys.platform != "linux":
        raise MachineError("chrek needs Linux: it checkpoints processes with CRIU")
    if os.geteuid() != 0:
        raise MachineError("chrek must run as root: it enters containers", hint="Use sudo")
    chosen = root or Path(os.environ.get("CHREK_ROOT", DEFAULT_ROOT))
    settings = settings_module.from_environment(chosen)
    try:
        settings.root.mkdir(parents=True, exist_ok=True, mode=0o711)
    except OSError as error:
        raise UsageError(f"--root {chosen}: {error.strerror}") from error
    return Machine(
        settings, Containers(settings.root), Checkpoints(settings.claim, settings.namespace)
    )
