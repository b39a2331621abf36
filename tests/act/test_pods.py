"""What one look at a pod leads to. The acts themselves are tried on real containers elsewhere
(tests/cluster); here they are counted."""

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from agent.act import capturing, learning, pods, starting
from agent.act.life import Life, Running
from agent.act.pods import Pods
from agent.engine import gpu
from agent.plan.checkpoint import CheckpointView
from agent.plan.pod import PodView
from agent.runtime.cri.model import Container, ContainerID
from agent.watch.workers import GoneError
from chrek.errors import DumpError, TargetGoneError

from ..plan import making

MAIN = Container(
    ContainerID("c1"), "sandbox", "uid-1", "web-1", "ml", "main", 0, "running", created_ns=1
)


@dataclass
class World:
    """A node with one pod, as far as `Pods` looks at it, and what it was asked to do."""

    pod: PodView | None
    container: Container | None = MAIN
    checkpoint: CheckpointView | None = None
    enabled: bool = True
    ending: bool = False
    claim_bytes: int = 0
    room: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)

    def made(self) -> Pods:
        checkpoints = [self.checkpoint] if self.checkpoint else []
        node: Any = SimpleNamespace(
            name="node-1",
            means=None,
            memory=SimpleNamespace(
                pod=lambda uid: self.pod,
                enabled=lambda namespace: self.enabled,
                ending=lambda namespace: self.ending,
                checkpoint=lambda namespace, name: self.checkpoint,
                checkpoints=lambda namespace: checkpoints,
            ),
            containers=SimpleNamespace(of=lambda uid, name: self.container),
            reporter=SimpleNamespace(
                event=lambda pod, kind, reason, message: self.events.append((kind, reason))
            ),
            metrics=SimpleNamespace(refused=self.refused.append),
            limits=SimpleNamespace(claim_bytes=self.claim_bytes),
            want_room=lambda *asked: self.room.append(asked),
            later=lambda work: work.close(),
        )
        return Pods(node)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A warm pod, in whose container the command has just been started."""
    made = World(replace(making.view(), uid="uid-1"))

    async def decide(node: object, pod: PodView, container: Container, life: Life) -> float | None:
        made.acts.append(f"decide {container.id}")
        life.cold(container.id, Running(None, None, making.HERE))  # type: ignore[arg-type]
        return 0.0

    async def capture(*_: object, **__: object) -> None:
        made.acts.append("capture")

    async def learn(*_: object) -> None:
        made.acts.append("learn")

    monkeypatch.setattr(starting, "decide", decide)
    monkeypatch.setattr(capturing, "capture", capture)
    monkeypatch.setattr(learning, "learn", learn)

    async def no_gpu(*_: object) -> int:
        return 0

    monkeypatch.setattr(capturing, "estimate_bytes", lambda target: 1 << 20)
    monkeypatch.setattr(gpu, "held_bytes", no_gpu)
    monkeypatch.setattr(pods, "now", lambda: making.NOW)
    return made


async def test_a_start_is_decided_once_and_then_the_warm_pod_is_captured(world: World) -> None:
    made = world.made()
    assert await made.handle("uid-1") == 0.0
    await made.handle("uid-1")
    assert world.acts == ["decide c1", "capture"]


async def test_a_container_that_was_started_again_is_decided_again(world: World) -> None:
    made = world.made()
    await made.handle("uid-1")
    world.container = replace(MAIN, id=ContainerID("c2"), attempt=1)
    await made.handle("uid-1")
    assert world.acts == ["decide c1", "decide c2"]


async def test_nothing_is_done_before_the_container_runs_or_after_the_pod_has_ended(
    world: World,
) -> None:
    made = world.made()
    world.container = replace(MAIN, state="created")
    assert await made.handle("uid-1") is None
    assert world.pod is not None
    world.container, world.pod = MAIN, replace(world.pod, phase="Succeeded")
    assert await made.handle("uid-1") is None
    world.pod = None
    with pytest.raises(GoneError):
        await made.handle("uid-1")
    assert world.acts == []


async def test_a_pod_that_is_being_deleted_and_a_namespace_without_its_label_are_not_captured(
    world: World,
) -> None:
    made = world.made()
    await made.handle("uid-1")
    world.enabled = False
    await made.handle("uid-1")
    world.enabled, world.ending = True, True
    await made.handle("uid-1")
    assert world.pod is not None
    world.ending = False
    world.enabled, world.pod = True, replace(world.pod, deleting=True)
    await made.handle("uid-1")
    assert world.acts == ["decide c1"]


async def test_why_a_pod_is_not_captured_is_said_once_for_each_container(world: World) -> None:
    world.pod = replace(making.viewed(making.unprobed()), uid="uid-1")
    made = world.made()
    for _ in range(3):
        await made.handle("uid-1")
    assert world.events == [("Warning", "NeverWarm")]
    world.container = replace(MAIN, id=ContainerID("c2"))
    for _ in range(3):
        await made.handle("uid-1")
    assert world.events == [("Warning", "NeverWarm")] * 2
    assert world.refused == ["NeverWarm"] * 2


async def test_a_pod_whose_checkpoint_is_there_is_left_in_peace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory is not even measured: each restore wakes all pods of a Checkpoint."""

    def measured(_: object) -> int:
        raise AssertionError

    monkeypatch.setattr(capturing, "estimate_bytes", measured)
    world.checkpoint = making.checkpoint(making.variant())
    made = world.made()
    for _ in range(3):
        await made.handle("uid-1")
    assert world.acts == ["decide c1"]
    assert world.events == []


async def test_a_failed_capture_is_told_with_its_reason_and_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise DumpError("CRIU said no")

    monkeypatch.setattr(capturing, "capture", fails)
    made = world.made()
    await made.handle("uid-1")
    again = await made.handle("uid-1")
    assert again is not None
    assert world.events == [("Warning", "DumpFailed")]


async def test_a_capture_ends_when_its_pod_is_deleted_and_the_worker_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def lasts(*_: object, **__: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(capturing, "capture", lasts)
    made = world.made()
    await made.handle("uid-1")
    looking = asyncio.create_task(made.handle("uid-1"))
    await begun.wait()
    made.note("uid-1")  # some change that says nothing
    await asyncio.sleep(0)
    assert not ended.is_set()
    assert world.pod is not None
    world.pod = replace(world.pod, deleting=True)
    made.note("uid-1")
    assert await looking is None
    assert ended.is_set()


async def test_a_worker_that_is_ended_ends_its_capture_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, undone = asyncio.Event(), asyncio.Event()

    async def lasts(*_: object, **__: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # resuming a source takes its time
            undone.set()

    monkeypatch.setattr(capturing, "capture", lasts)
    made = world.made()
    await made.handle("uid-1")
    looking = asyncio.create_task(made.handle("uid-1"))
    await begun.wait()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert undone.is_set()


async def test_a_container_that_goes_meanwhile_is_no_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> None:
        raise TargetGoneError("it ended")

    monkeypatch.setattr(starting, "decide", gone)
    assert await world.made().handle("uid-1") is None
    assert world.events == []


async def test_containers_are_looked_for_often_only_while_one_is_expected(world: World) -> None:
    made = world.made()
    world.container = None
    made.note("uid-1")
    assert made.expecting()
    world.container = MAIN
    await made.handle("uid-1")
    assert not made.expecting()
    made.note("uid-1")
    assert not made.expecting(), "what is decided is not expected again"


async def test_a_command_is_learned_only_where_chrek_is_switched_on(world: World) -> None:
    assert world.pod is not None
    world.pod = replace(world.pod, wrapped=False, learn=True)
    world.enabled = False
    await world.made().handle("uid-1")
    assert world.acts == []
    world.enabled = True
    await world.made().handle("uid-1")
    assert world.acts == ["learn"]


async def test_for_a_capture_that_has_no_room_the_collector_is_asked_for_some(world: World) -> None:
    world.claim_bytes = 2 << 20
    world.checkpoint = making.checkpoint(
        making.variant(sizeBytes=2 << 20, imageDigest="sha256:" + "b" * 64)
    )
    made = world.made()
    for _ in range(2):
        await made.handle("uid-1")
    assert world.acts == ["decide c1"]
    assert world.room == [("ml", "chrek-checkpoints", 1 << 20)]
