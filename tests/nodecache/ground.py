"""Captures to a volume through the node's directory, and restores from both."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.engine.capture import Capture, capture
from agent.engine.means import Means
from agent.engine.restore import Choices, restore
from agent.runtime.target import Target
from agent.store.checkpoints import Checkpoints, Stored
from agent.store.nodecache import NodeCache
from chrek.ids import checkpoint_id
from chrek.runspec import Volume
from tests.machine.conftest import PYTHON
from tests.pages import memory
from tests.survival.lives import Life, Lives

SIZE_BYTES = 1 << 30


@dataclass
class Ground:
    """volume, place: directories."""

    lives: Lives
    volume: Path
    place: Path
    size_bytes: int = SIZE_BYTES
    cache: NodeCache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = NodeCache(self.place, self.size_bytes)

    @property
    def store(self) -> Checkpoints:
        return Checkpoints(self.volume, "default")

    @property
    def means(self) -> Means:
        return replace(self.lives.machine.means(), cache=self.cache)

    def start(self, name: str, mebibytes: int = 40, repeats: int = 1) -> Life:
        """A program with so much memory of each kind that leaves CRIU's images. repeats: of its
        own memory, how often each piece of it occurs."""
        own = Volume(str(memory.OWN_PROGRAMS), "/own", read_only=True)
        command = (PYTHON, "/own/holding.py", str(mebibytes), str(repeats))
        return self.lives.start(name, *command, volumes=[own])

    async def captured(self, life: Life) -> Stored:
        asked = Capture(life.target, checkpoint_id(life.name), replace=True)
        return await capture(asked, store=self.store, means=self.means)

    def capture(self, life: Life) -> Stored:
        return asyncio.run(self.captured(life))

    def restore(self, stored: Stored, name: str) -> Life:
        """As the agent does: from the volume, or a copy that the node has."""
        spec = stored.manifest.spec
        assert spec is not None

        async def one() -> Target:
            target = await self.lives.machine.start(name, spec)
            choices = Choices("default")
            await restore(target, stored.path, means=self.means, choices=choices)
            return target

        return Life(self.lives.machine, asyncio.run(one()))

    def half_done(self) -> list[Path]:
        """What is neither a checkpoint nor in use, on the volume and in the node's directory."""
        return [path for home in (self.volume, self.place) for path in home.glob("*/*/.*")]
