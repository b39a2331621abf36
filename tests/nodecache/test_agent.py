"""What the agent does with the node's copies beside restores: fills them, reads them ahead, drops
what there are no checkpoints of any more, counts."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.act import caching, readahead, volume
from agent.act.sweeping import Sweeper
from agent.metrics import Metrics
from agent.plan.checkpoint import CheckpointView
from agent.plan.pod import PodView
from agent.store import checkpoints, copying
from agent.store.checkpoints import Checkpoints
from agent.store.nodecache import NodeCache
from tests.plan import making
from tests.store.conftest import ID, VARIANT, keys, publish, published, store

__all__ = ["keys", "publish", "published", "store"]
Publish = Callable[..., Path]


@dataclass
class World:
    """A node with a directory and a pod whose claim is `claim`. busy: holds the claim now."""

    cache: NodeCache
    claim: Path
    pod: PodView = field(
        default_factory=lambda: replace(
            making.view(), uid="uid-1", namespace="default", checkpoint_id=ID
        )
    )
    seen: CheckpointView | None = None
    attached: int = 0

    def __post_init__(self) -> None:
        self.there: PodView | None = self.pod
        self.node: Any = SimpleNamespace(
            means=SimpleNamespace(cache=self.cache),
            memory=SimpleNamespace(
                pod=lambda uid: self.there, checkpoint=lambda namespace, name: self.seen
            ),
            fills=asyncio.Semaphore(1),
            restoring=0,
        )

    @asynccontextmanager
    async def attach(self, host_path: str, *, read_only: bool) -> AsyncIterator[Path]:
        assert read_only
        self.attached += 1
        try:
            yield Path(host_path)
        finally:
            self.attached -= 1

    def listed(self, path: Path, **members: Any) -> None:
        """The Checkpoint tells of the variant in `path`."""
        created = checkpoints.peek(path).created
        told = making.variant(path.name, **{"createdAt": created} | members)
        self.seen = making.checkpoint(told, name=ID)


@pytest.fixture
def world(tmp_path: Path, store: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(NodeCache(tmp_path / "cache", 1 << 30), store.claim)

    async def host_path(*_: object) -> str:
        return str(made.claim)

    monkeypatch.setattr(volume, "host_path", host_path)
    monkeypatch.setattr(caching, "attached", made.attach)
    monkeypatch.setattr(readahead, "attached", made.attach)
    return made


async def filled(world: World, path: Path) -> bool:
    manifest = checkpoints.peek(path)
    await caching.fill(world.node, world.pod, manifest)
    assert not world.attached
    assert not list(world.cache.path.glob("*/*/.*"))
    return world.cache.find(manifest) is not None


def slowly(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a copy is under way, which then lasts until it is stopped."""
    begun, real = threading.Event(), copying.copy

    def slow(source: Path, files: Any, target: Path, step: Any) -> None:
        def held() -> None:
            begun.set()
            while True:
                step()
                time.sleep(0.01)

        real(source, files, target, held)

    monkeypatch.setattr(copying, "copy", slow)
    return begun


async def test_a_pod_that_runs_has_its_node_filled(world: World, published: Path) -> None:
    assert await filled(world, published)


async def test_ten_pods_of_one_kind_fill_it_once(
    world: World, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = [], copying.copy
    monkeypatch.setattr(copying, "copy", lambda *rest: (made.append(rest), real(*rest)))
    await asyncio.gather(*(filled(world, published) for _ in range(10)))
    assert len(made) == 1


async def test_a_pod_that_is_deleted_has_its_volume_back_at_once(
    world: World, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = slowly(monkeypatch)
    work = asyncio.create_task(filled(world, published))
    assert await asyncio.to_thread(begun.wait, 30)
    assert world.attached
    world.there = replace(world.pod, deleting=True)
    assert await asyncio.wait_for(work, 10) is False


async def test_while_anything_is_restored_it_waits(
    world: World, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.node.restoring = 1
    work = asyncio.create_task(filled(world, published))
    await asyncio.sleep(0.5)
    assert not work.done()
    assert not world.cache.copies()
    world.node.restoring = 0
    assert await asyncio.wait_for(work, 10)


async def test_an_agent_that_ends_leaves_nothing_half(
    world: World, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = slowly(monkeypatch)
    work = asyncio.create_task(filled(world, published))
    assert await asyncio.to_thread(begun.wait, 30)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not world.attached
    assert not list(world.cache.path.glob("*/*/.*"))


async def test_what_cannot_be_copied_is_of_no_consequence(
    world: World, publish: Publish, published: Path
) -> None:
    manifest = checkpoints.peek(published)
    (published / "files.tar.zst").write_bytes(b"damaged")
    assert not await filled(world, published)
    (published / "manifest.json").unlink()
    await caching.fill(world.node, world.pod, manifest)
    assert not world.cache.copies()
    world.node.means.cache = NodeCache(world.cache.path, 1000)
    assert not await filled(world, publish(replace=True))


async def test_what_is_on_the_node_is_read_ahead_there(
    world: World, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(readahead, "_ask_for", lambda place: asked.append(place) or 0)
    world.listed(published)
    await readahead.read_ahead(world.node, world.pod)
    assert await filled(world, published)
    await readahead.read_ahead(world.node, world.pod)
    world.node.means.cache = None
    await readahead.read_ahead(world.node, world.pod)
    copy = world.cache.path / "default" / ID / VARIANT
    assert asked == [published, copy, published]


async def test_copies_go_with_their_checkpoints(
    world: World, published: Path, publish: Publish
) -> None:
    sweeper = Sweeper(world.node)
    world.listed(published)
    assert await filled(world, published)
    await sweeper.look(world.cache)
    assert len(world.cache.copies()) == 1
    world.listed(published, createdAt="2026-01-01T00:00:01Z")
    await sweeper.look(world.cache)
    assert not world.cache.copies()
    assert await filled(world, published)
    world.seen = None
    await sweeper.look(world.cache)
    assert not list(world.cache.path.glob("*/*"))
    assert world.cache.dropped == {"removed": 2}


async def test_it_looks_again_when_a_checkpoint_changes(world: World, published: Path) -> None:
    sweeper = Sweeper(world.node)
    world.listed(published)
    assert await filled(world, published)
    work = asyncio.create_task(sweeper.run())
    await asyncio.sleep(0.3)
    assert world.cache.copies()
    world.seen = None
    sweeper.wake()
    deadline = time.monotonic() + 20
    while world.cache.copies() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    work.cancel()
    assert not world.cache.copies()


def test_a_copy_without_a_manifest_goes(world: World) -> None:
    (world.cache.path / "default" / ID / VARIANT / "criu").mkdir(parents=True)
    asyncio.run(Sweeper(world.node).look(world.cache))
    assert not list(world.cache.path.glob("*/*"))


def test_an_operator_sees_what_it_is_worth(world: World, published: Path) -> None:
    metrics = Metrics()
    assert b"node_cache" not in metrics.text()
    metrics.cache = world.cache
    assert world.cache.fill(published, checkpoints.peek(published), lambda: None)
    world.cache.found("miss")
    world.cache.found("hit", world.cache.copies()[0].path)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }
    assert found["chrek_node_cache_restores_total", "hit"] == 1
    assert found["chrek_node_cache_restores_total", "miss"] == 1
    assert found["chrek_node_cache_restores_total", "damaged"] == 0
    assert found["chrek_node_cache_bytes",] == world.cache.copied_bytes > 200_000
    world.cache.drop(world.cache.copies()[0].path, "removed")
    assert b'chrek_node_cache_dropped_total{reason="removed"} 1.0' in metrics.text()
