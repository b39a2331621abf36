"""One agent captures for a Checkpoint at a time, and no lease outlives the capture it is for."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from agent.act.report.checkpoints import CheckpointWriter
from agent.act.report.leases import LeaseLostError
from agent.plan import checkpoint, held, lease
from agent.plan.checkpoint import CheckpointView
from agent.plan.pod import PodView
from chrek.kube.api import JSON

from .conftest import IDENTITY, Cluster
from .memory import MemoryAPI

VARIANT = {"name": "fedcba9876543210", "phase": "Ready", "sizeBytes": 1}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "RENEW_SECONDS", 0.05)


async def seen(cluster: Cluster) -> CheckpointView:
    return checkpoint.parse(await cluster.checkpoint())


async def begun(cluster: Cluster) -> tuple[CheckpointWriter, PodView]:
    pod, writer = await cluster.pod(), CheckpointWriter(cluster.api)
    await writer.ensure(pod, IDENTITY)
    return writer, pod


async def takes(cluster: Cluster, pod: PodView, node: str, *, days: int = 0) -> JSON | None:
    """As an agent of another node would, whose clock may be ahead."""
    now = datetime.now(UTC) + timedelta(days=days)
    return await CheckpointWriter(cluster.api).update(
        cluster.namespace, IDENTITY, lambda status: lease.taken(status, node=node, pod=pod, now=now)
    )


async def test_it_is_held_within_the_block_and_given_up_after_it(cluster: Cluster) -> None:
    writer, pod = await begun(cluster)
    async with writer.leased(pod, IDENTITY, "node-1") as taken:
        assert taken == await cluster.checkpoint()
        found = await seen(cluster)
        assert found.phase == "Capturing"
        assert found.lease is not None
        assert (found.lease.node, found.lease.pod_uid) == ("node-1", pod.uid)
    found = await seen(cluster)
    assert found.phase == "Pending"
    assert found.lease is None or found.lease.renewed is None
    assert found.lease is None or found.lease.failures == 0


async def test_of_ten_agents_one_captures(cluster: Cluster) -> None:
    await begun(cluster)
    pods = [await cluster.pod(f"web-{number}") for number in range(10)]
    captured: list[str] = []

    async def agent(pod: PodView) -> None:
        mine = CheckpointWriter(cluster.api)
        node = f"node-{pod.name}"
        async with mine.leased(pod, IDENTITY, node, wanted=lambda view: not view.ready) as taken:
            if not taken:
                return
            await asyncio.sleep(0.05)
            captured.append(pod.name)
            await mine.update(
                cluster.namespace,
                IDENTITY,
                lambda status: lease.published(status, VARIANT, now=datetime.now(UTC)),
            )

    await asyncio.gather(*map(agent, pods))
    await agent(pods[0])
    assert len(captured) == 1
    found = await seen(cluster)
    assert (found.phase, found.lease) == ("Ready", None)


async def test_it_is_renewed_for_as_long_as_it_lasts(cluster: Cluster, quick: None) -> None:
    writer, pod = await begun(cluster)
    async with writer.leased(pod, IDENTITY, "node-1") as taken:
        assert taken is not None
        await writer.update(cluster.namespace, IDENTITY, _renewed_long_ago)
        async with asyncio.timeout(60):
            while not held.is_held((await seen(cluster)).lease, datetime.now(UTC)):
                await asyncio.sleep(0.01)


async def test_who_lost_it_is_stopped(cluster: Cluster, quick: None) -> None:
    writer, pod = await begun(cluster)
    other = await cluster.pod("web-other")
    steps: list[str] = []

    async def capture() -> None:
        async with writer.leased(pod, IDENTITY, "node-1"):
            try:
                assert await takes(cluster, other, "node-2", days=1)
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.02)
                steps.append("resumed")

    with pytest.raises(LeaseLostError, match="captured on node node-2 now, from pod web-other"):
        await capture()
    assert steps == ["resumed"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    found = (await seen(cluster)).lease
    assert found is not None
    assert found.node == "node-2", "the other's is left alone"


async def test_a_deleted_checkpoint_is_captured_no_further(cluster: Cluster, quick: None) -> None:
    writer, pod = await begun(cluster)

    async def capture() -> None:
        async with writer.leased(pod, IDENTITY, "node-1"):
            await writer.delete(cluster.namespace, IDENTITY)
            await asyncio.Event().wait()

    with pytest.raises(LeaseLostError, match="was deleted"):
        await capture()
    found = (await seen(cluster)).lease
    assert not held.is_held(found, datetime.now(UTC)), "its data may be deleted at once"


async def test_none_is_to_be_had_of_what_is_deleted_or_was_never_there(cluster: Cluster) -> None:
    writer, pod = await begun(cluster)
    async with writer.leased(pod, "nobody", "node-1") as taken:
        assert taken is None
    await writer.delete(cluster.namespace, IDENTITY)
    async with writer.leased(pod, IDENTITY, "node-1") as taken:
        assert taken is None


@pytest.mark.parametrize("ending", ["published", "failed"])
async def test_a_verdict_gives_it_up_and_the_block_may_go_on(
    cluster: Cluster, quick: None, ending: str
) -> None:
    writer, pod = await begun(cluster)

    def verdict(status: JSON) -> JSON | None:
        now = datetime.now(UTC)
        if ending == "published":
            return lease.published(status, VARIANT, now=now)
        return lease.failed(status, reason="DumpFailed", message="no", now=now)

    async with writer.leased(pod, IDENTITY, "node-1"):
        await writer.update(cluster.namespace, IDENTITY, verdict)
        after = await cluster.checkpoint()
        await asyncio.sleep(0.2)  # several renewals would have come
    assert await cluster.checkpoint() == after


async def test_an_error_comes_out_as_it_is(cluster: Cluster) -> None:
    writer, pod = await begun(cluster)
    with pytest.raises(ZeroDivisionError):
        async with writer.leased(pod, IDENTITY, "node-1"):
            raise ZeroDivisionError
    assert (await seen(cluster)).phase == "Pending"


async def test_an_agent_that_ends_gives_it_up(cluster: Cluster) -> None:
    writer, pod = await begun(cluster)
    holds = asyncio.Event()

    async def capture() -> None:
        async with writer.leased(pod, IDENTITY, "node-1"):
            holds.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(capture())
    await holds.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await takes(cluster, await cluster.pod("web-other"), "node-2")


async def test_an_api_server_that_is_away_stops_no_capture(
    in_memory: MemoryAPI, quick: None
) -> None:
    cluster = Cluster(in_memory, "ml")
    writer, pod = await begun(cluster)
    async with writer.leased(pod, IDENTITY, "node-1"):
        in_memory.away = True
        await asyncio.sleep(0.3)
        in_memory.away = False
        await writer.update("ml", IDENTITY, _renewed_long_ago)
        while not held.is_held((await seen(cluster)).lease, datetime.now(UTC)):
            await asyncio.sleep(0.01)
    assert (await seen(cluster)).phase == "Pending"


async def test_an_agent_that_ends_while_nobody_answers_ends_all_the_same(
    in_memory: MemoryAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.act.report.leases._GIVING_UP_SECONDS", 0.1)
    writer, pod = await begun(Cluster(in_memory, "ml"))
    async with writer.leased(pod, IDENTITY, "node-1"):
        in_memory.away = True


def _renewed_long_ago(status: JSON) -> JSON:
    return {**status, "capture": {**status["capture"], "renewedAt": "2020-01-01T00:00:00Z"}}
