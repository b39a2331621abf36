"""Through the node's own directory, as an agent does it: one process that captures, restores from
its copy or from the volume, and fills the node after a miss."""

import asyncio
import contextlib
import dataclasses
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest_asyncio

from agent.claims.attach import attached
from agent.engine.capture import Capture, capture
from agent.engine.means import Means
from agent.engine.restore import Choices, Restored, fitting, restore
from agent.store.checkpoints import Checkpoints
from agent.store.nodecache import NodeCache
from agent.store.use import in_use
from chrek.cli.machine import Machine, open_machine
from chrek.ids import CheckpointID, Variant, checkpoint_id
from chrek.manifest import Manifest
from tests.gpu.conftest import GIB, Box, Figures, Served

NAMESPACE = "default"


@dataclasses.dataclass
class Agent:
    """volume: the directory of a claim on this host."""

    box: Box
    machine: Machine
    volume: Path
    means: Means
    cache: NodeCache

    @contextlib.asynccontextmanager
    async def claim(self, *, read_only: bool) -> AsyncIterator[Checkpoints]:
        host_path, host_pid = str(self.volume), os.getpid()
        async with attached(host_path, read_only=read_only, host_pid=host_pid) as claim:
            yield Checkpoints(claim, NAMESPACE)

    async def capture(self, source: Served) -> Manifest:
        target = self.machine.containers.target(source.name)
        async with self.claim(read_only=False) as store:
            asked = Capture(target, checkpoint_id("warm"))
            return (await capture(asked, store=store, means=self.means)).manifest

    async def restore(self, made: Manifest, source: Served, name: str) -> tuple[Served, Restored]:
        assert made.spec is not None
        target = await self.machine.start(name, made.spec)
        choices = Choices(NAMESPACE, on_failure="fail")
        async with self.claim(read_only=True) as store:
            path = self.path(store, made)
            async with in_use(path):
                found = await fitting(target, path, means=self.means, choices=choices)
                restored = await restore(
                    target, path, means=self.means, choices=choices, manifest=found
                )
        return Served(self.box, name, source.port, 0.0), restored

    async def fill(self, made: Manifest) -> bool:
        async with self.claim(read_only=True) as store:
            path = self.path(store, made)
            async with in_use(path):
                return await asyncio.to_thread(self.cache.fill, path, made, lambda: None)

    def path(self, store: Checkpoints, made: Manifest) -> Path:
        return store.place(CheckpointID(made.id), Variant(made.variant))

    @contextlib.contextmanager
    def out_of_reach(self, made: Manifest) -> Iterator[None]:
        """The volume has nothing but the manifest meanwhile."""
        path = self.path(Checkpoints(self.volume, NAMESPACE), made)
        aside = self.volume / "aside"
        aside.mkdir()
        moved = [*path.glob("pages-*.bin"), path / "criu"]
        for each in moved:
            each.rename(aside / each.name)
        yield
        for each in moved:
            (aside / each.name).rename(each)
        aside.rmdir()


@pytest_asyncio.fixture
async def agent(box: Box) -> AsyncIterator[Agent]:
    home = box.root / "agent"
    volume = home / "volume"
    volume.mkdir(parents=True)
    machine, cache = open_machine(box.root), NodeCache(home / "node", 32 * GIB)
    async with dataclasses.replace(machine.means(), cache=cache) as means:
        yield Agent(box, machine, volume, means, cache)
    shutil.rmtree(home)


async def test_a_node_restores_from_its_copy_from_the_volume_and_from_what_it_was_filled_with(
    box: Box, figures: Figures, agent: Agent
) -> None:
    source = box.run("source", "tensor.py", "4")
    before = source.get()
    made = await agent.capture(source)
    assert made.gpu is not None
    assert "copy" in made.phases, "captured on the volume"
    assert source.get() == before
    source.stop()

    [kept] = agent.cache.copies()
    with agent.out_of_reach(made):
        hit, of_hit = await agent.restore(made, source, "hit")
    assert of_hit.copied
    assert hit.get() == before
    hit.stop()

    agent.cache.drop(kept.path, "removed")
    miss, of_miss = await agent.restore(made, source, "miss")
    assert not of_miss.copied
    assert miss.get() == before
    assert await agent.fill(made)
    miss.stop()

    with agent.out_of_reach(made):
        again, of_again = await agent.restore(made, source, "again")
    assert of_again.copied
    assert again.get() == before
    assert agent.cache.results == {"hit": 2, "miss": 1}
    restores = {"hit": of_hit, "miss": of_miss, "filled": of_again}
    phases = {name: each.phases for name, each in restores.items()}
    figures.note("4 GiB through the node's directory", capture=made.phases, **phases)
