"""Checkpoint objects are made once, and of what agents write at the same time nothing is lost."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.act.report import patience
from agent.act.report.checkpoints import CheckpointWriter
from agent.plan import lease
from chrek.kube.api import JSON
from chrek.kube.errors import APIError

from .api_server import APIServer
from .conftest import IDENTITY, Cluster
from .memory import MemoryAPI

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
VARIANT = "fedcba9876543210"


def one_restore_more(status: JSON) -> JSON:
    return lease.restored(status, VARIANT, seconds=0.4, now=NOON)


async def test_a_checkpoint_is_made_whole(cluster: Cluster) -> None:
    pod = replace(await cluster.pod(), claim="team-claim", workload="Deployment/web")
    made = await CheckpointWriter(cluster.api).ensure(pod, IDENTITY)
    assert made == await cluster.checkpoint()
    metadata = made["metadata"]
    assert metadata["finalizers"] == ["chrek.io/data"]
    assert metadata["annotations"] == {"chrek.io/workload": "Deployment/web"}
    assert metadata["labels"].keys() == {"chrek.io/workload"}
    assert len(metadata["labels"]["chrek.io/workload"]) == 16
    assert made["spec"] == {"claim": "team-claim"}
    assert made["status"] == {"phase": "Pending", "identity": IDENTITY, "observedGeneration": 1}


async def test_one_that_is_there_is_left_as_it_is(cluster: Cluster) -> None:
    pod, writer = await cluster.pod(), CheckpointWriter(cluster.api)
    made = await writer.ensure(pod, IDENTITY)
    assert await writer.ensure(replace(pod, workload="Job/other", claim="x"), IDENTITY) == made


async def test_one_that_a_person_made_is_completed(cluster: Cluster) -> None:
    written = {
        "apiVersion": "chrek.io/v1alpha1",
        "kind": "Checkpoint",
        "metadata": {
            "name": "mine",
            "namespace": cluster.namespace,
            "finalizers": ["example.com/theirs"],
            "labels": {"team": "a"},
        },
        "spec": {"claim": "mine", "ttl": "30d"},
    }
    await cluster.api.create(cluster.checkpoints, written)
    pod = replace(await cluster.pod(), claim="other")
    made = await CheckpointWriter(cluster.api).ensure(pod, "mine")
    assert made["metadata"]["finalizers"] == ["example.com/theirs", "chrek.io/data"]
    assert made["metadata"]["labels"].keys() == {"team", "chrek.io/workload"}
    assert made["spec"] == {"claim": "mine", "ttl": "30d"}
    assert made["status"]["phase"] == "Pending"


async def test_one_that_is_being_deleted_is_not_kept_from_it(cluster: Cluster) -> None:
    pod, writer = await cluster.pod(), CheckpointWriter(cluster.api)
    made = await writer.ensure(pod, IDENTITY)
    await writer.delete(cluster.namespace, IDENTITY)
    assert (await writer.ensure(pod, IDENTITY))["metadata"]["deletionTimestamp"]
    await writer.unfinalize(cluster.namespace, IDENTITY, uid=made["metadata"]["uid"])
    again = await writer.ensure(pod, IDENTITY)
    assert again["metadata"]["uid"] != made["metadata"]["uid"]


async def test_ten_agents_make_one(cluster: Cluster) -> None:
    pod = await cluster.pod()
    writers = [CheckpointWriter(cluster.api) for _ in range(10)]
    made = await asyncio.gather(*(writer.ensure(pod, IDENTITY) for writer in writers))
    assert len({each["metadata"]["uid"] for each in made}) == 1
    assert {each["status"]["phase"] for each in made} == {"Pending"}


@pytest.mark.parametrize("agents", [1, 50], ids=["one agent", "50 agents"])
async def test_of_50_updates_at_once_none_is_lost(cluster: Cluster, agents: int) -> None:
    writers = [CheckpointWriter(cluster.api) for _ in range(agents)]
    await writers[0].ensure(await cluster.pod(), IDENTITY)
    await asyncio.gather(
        *(
            writers[number % agents].update(cluster.namespace, IDENTITY, one_restore_more)
            for number in range(50)
        )
    )
    assert (await cluster.checkpoint())["status"]["restores"] == 50


async def test_what_a_change_leaves_is_not_written(cluster: Cluster) -> None:
    writer = CheckpointWriter(cluster.api)
    made = await writer.ensure(await cluster.pod(), IDENTITY)
    assert await writer.update(cluster.namespace, IDENTITY, lambda _: None) is None
    assert await writer.update(cluster.namespace, IDENTITY, lambda status: status) == made
    assert await writer.update(cluster.namespace, "nobody", one_restore_more) is None
    assert await cluster.checkpoint() == made


async def test_an_update_touches_the_status_only(cluster: Cluster) -> None:
    writer = CheckpointWriter(cluster.api)
    made = await writer.ensure(await cluster.pod(), IDENTITY)

    def greedy(found: JSON) -> JSON:
        found["metadata"]["labels"] = found["spec"]["claim"] = "stolen"
        return one_restore_more(found["status"])

    after = await writer.decide(cluster.namespace, IDENTITY, greedy)
    assert after is not None
    assert (after["spec"], after["status"]["restores"]) == (made["spec"], 1)
    assert after["metadata"]["labels"] == made["metadata"]["labels"]


async def test_a_status_that_the_definition_forbids_is_refused_at_once(on_real: Cluster) -> None:
    writer = CheckpointWriter(on_real.api)
    await writer.ensure(await on_real.pod(), IDENTITY)
    with pytest.raises(APIError, match="phase") as refusal:
        await writer.update(on_real.namespace, IDENTITY, lambda status: {**status, "phase": "Odd"})
    assert refusal.value.status == 422


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_an_update_whose_answer_is_lost_is_made_once(
    in_memory: MemoryAPI, lost: int, quick: None
) -> None:
    cluster, writer = Cluster(in_memory, "ml"), CheckpointWriter(in_memory)
    await writer.ensure(await cluster.pod(), IDENTITY)
    in_memory.lost = lost
    await writer.update("ml", IDENTITY, one_restore_more)
    in_memory.lost = 0
    assert (await cluster.checkpoint())["status"]["restores"] == 1


async def test_an_api_server_that_is_away_is_waited_for(in_memory: MemoryAPI, quick: None) -> None:
    cluster, writer = Cluster(in_memory, "ml"), CheckpointWriter(in_memory)
    await writer.ensure(await cluster.pod(), IDENTITY)
    in_memory.away = True
    updates = [
        asyncio.create_task(writer.update("ml", IDENTITY, one_restore_more)) for _ in range(5)
    ]
    await asyncio.sleep(0.05)
    in_memory.away = False
    await asyncio.gather(*updates)
    assert (await cluster.checkpoint())["status"]["restores"] == 5


async def test_but_not_for_ever(in_memory: MemoryAPI, quick: None) -> None:
    cluster, writer = Cluster(in_memory, "ml"), CheckpointWriter(in_memory)
    pod = await cluster.pod()
    in_memory.away = True
    with pytest.raises(APIError, match="no answer"):
        await writer.update("ml", IDENTITY, one_restore_more, patience_seconds=0.05)
    with pytest.raises(APIError, match="no answer"):
        await writer.ensure(pod, IDENTITY, patience_seconds=0.05)
    await writer.note("ml", IDENTITY, one_restore_more, patience_seconds=0.05)


async def test_a_silent_api_server_holds_nobody_longer_than_that() -> None:
    class Silent(MemoryAPI):
        async def _turn(self, path: str) -> None:
            await asyncio.Event().wait()

    with pytest.raises(APIError, match="did not answer"):
        await CheckpointWriter(Silent()).update("ml", "x", one_restore_more, patience_seconds=0.05)


async def test_a_checkpoint_goes_once_its_data_is_gone(cluster: Cluster) -> None:
    writer = CheckpointWriter(cluster.api)
    made = await writer.ensure(await cluster.pod(), IDENTITY)
    uid = made["metadata"]["uid"]
    assert await writer.delete(cluster.namespace, IDENTITY, uid=uid)
    assert (await cluster.checkpoint())["metadata"]["deletionTimestamp"]
    await writer.unfinalize(cluster.namespace, IDENTITY, uid=uid)
    assert await writer.read(cluster.namespace, IDENTITY) is None
    await writer.unfinalize(cluster.namespace, IDENTITY, uid=uid)
    assert await writer.delete(cluster.namespace, IDENTITY, uid=uid)


async def test_only_chreks_own_finalizer_is_taken_off(cluster: Cluster) -> None:
    writer = CheckpointWriter(cluster.api)
    made = await writer.ensure(await cluster.pod(), IDENTITY)
    both = {"metadata": {"finalizers": ["chrek.io/data", "example.com/theirs"]}}
    await cluster.api.patch(f"{cluster.checkpoints}/{IDENTITY}", both)
    await writer.unfinalize(cluster.namespace, IDENTITY, uid=made["metadata"]["uid"])
    assert (await cluster.checkpoint())["metadata"]["finalizers"] == ["example.com/theirs"]


async def test_another_of_the_same_name_is_neither_deleted_nor_let_go(cluster: Cluster) -> None:
    writer = CheckpointWriter(cluster.api)
    await writer.ensure(await cluster.pod(), IDENTITY)
    other = "00000000-0000-0000-0000-000000000000"
    assert not await writer.delete(cluster.namespace, IDENTITY, uid=other)
    await writer.unfinalize(cluster.namespace, IDENTITY, uid=other)
    assert (await cluster.checkpoint())["metadata"]["finalizers"] == ["chrek.io/data"]
    assert "deletionTimestamp" not in (await cluster.checkpoint())["metadata"]


async def test_one_that_changed_since_is_not_deleted(cluster: Cluster) -> None:
    """It may have been restored from just now."""
    writer = CheckpointWriter(cluster.api)
    made = await writer.ensure(await cluster.pod(), IDENTITY)
    version = made["metadata"]["resourceVersion"]
    await writer.update(cluster.namespace, IDENTITY, one_restore_more)
    assert not await writer.delete(cluster.namespace, IDENTITY, version=version)


async def test_an_api_server_that_is_killed_meanwhile_loses_no_update(
    real: APIServer, on_real: Cluster
) -> None:
    writers = [CheckpointWriter(on_real.api) for _ in range(4)]
    await writers[0].ensure(await on_real.pod(), IDENTITY)
    updates = [
        asyncio.create_task(
            writers[number % 4].update(
                on_real.namespace, IDENTITY, one_restore_more, patience_seconds=300
            )
        )
        for number in range(100)
    ]
    await asyncio.sleep(0.2)
    real.kill()
    real.start()
    await asyncio.to_thread(real.wait)
    await asyncio.gather(*updates)
    # Each writer had one write under way. One whose answer was lost, with another's write right
    # after it, cannot be told from that one: it may count twice, or not at all.
    assert 96 <= (await on_real.checkpoint())["status"]["restores"] <= 104


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None] | None:
    monkeypatch.setattr(patience, "_AWAY_SECONDS", (0.001, 0.01))
    return None
