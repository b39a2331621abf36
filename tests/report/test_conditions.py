"""A pod says whether it was restored, and what else it says stays."""

from datetime import UTC, datetime

import pytest

from agent.act.report.conditions import Condition, write
from chrek.kube.errors import APIError

from .conftest import READY, Cluster
from .memory import MemoryAPI

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ONE = datetime(2030, 1, 1, 13, tzinfo=UTC)
TYPE = "chrek.io/Restored"


async def test_a_pod_has_the_condition_and_keeps_its_others(cluster: Cluster) -> None:
    pod = await cluster.pod()
    assert await write(cluster.api, Condition(pod, True, "Restored", "in 0.4 s", NOON))
    found = await cluster.conditions(pod)
    assert found.keys() == {TYPE, "Ready"}
    assert READY.items() <= found["Ready"].items()
    assert {
        "type": TYPE,
        "status": "True",
        "reason": "Restored",
        "message": "in 0.4 s",
        "lastTransitionTime": "2030-01-01T12:00:00Z",
    }.items() <= found[TYPE].items()


async def test_a_transition_is_one_of_the_status_only(cluster: Cluster) -> None:
    pod = await cluster.pod()
    await write(cluster.api, Condition(pod, False, "NoCheckpoint", "none yet", NOON))
    await write(cluster.api, Condition(pod, False, "CheckpointDamaged", "a byte", ONE))
    found = (await cluster.conditions(pod))[TYPE]
    assert (found["status"], found["reason"], found["message"]) == (
        "False", "CheckpointDamaged", "a byte",
    )  # fmt: skip
    assert found["lastTransitionTime"] == "2030-01-01T12:00:00Z"
    await write(cluster.api, Condition(pod, True, "Restored", "at last", ONE))
    found = (await cluster.conditions(pod))[TYPE]
    assert found["lastTransitionTime"] == "2030-01-01T13:00:00Z"


async def test_what_a_pod_says_already_is_not_written_again(cluster: Cluster) -> None:
    pod = await cluster.pod()
    assert await write(cluster.api, Condition(pod, True, "Restored", "in 0.4 s", NOON))
    assert not await write(cluster.api, Condition(pod, True, "Restored", "in 0.4 s", ONE))


async def test_a_pod_that_is_gone_is_told_nothing(cluster: Cluster) -> None:
    pod = await cluster.pod()
    await cluster.api.delete(f"{cluster.pods}/{pod.name}")
    assert not await write(cluster.api, Condition(pod, True, "Restored", "", NOON))


async def test_another_pod_of_the_same_name_is_told_nothing(cluster: Cluster) -> None:
    before = await cluster.pod("db-0")
    await cluster.api.delete(f"{cluster.pods}/db-0")
    after = await cluster.pod("db-0")
    assert not await write(cluster.api, Condition(before, True, "Restored", "", NOON))
    assert (await cluster.conditions(after)).keys() == {"Ready"}


async def test_a_pod_that_is_replaced_before_the_write_is_no_trouble(cluster: Cluster) -> None:
    """It was there when it was read; the API server holds the patch against its UID."""
    before = await cluster.pod("db-0")
    as_it_was = await cluster.api.get(f"{cluster.pods}/db-0")
    await cluster.api.delete(f"{cluster.pods}/db-0")
    after = await cluster.pod("db-0")

    class Late:
        reads = 0

        def __getattr__(self, name: str) -> object:
            return getattr(cluster.api, name)

        async def get(self, path: str) -> object:
            self.reads += 1
            return as_it_was if self.reads == 1 else await cluster.api.get(path)

    late = Late()
    assert not await write(late, Condition(before, True, "Restored", "", NOON))  # type: ignore[arg-type]
    assert late.reads == 2
    assert (await cluster.conditions(after)).keys() == {"Ready"}


async def test_a_message_of_any_length_and_form_is_one_line(cluster: Cluster) -> None:
    pod = await cluster.pod()
    await write(cluster.api, Condition(pod, False, "Failed", "a\nb\x1b[2J" + "ä" * 5000, NOON))
    message = (await cluster.conditions(pod))[TYPE]["message"]
    assert message.startswith("a b [2Jää")
    assert len(message.encode()) <= 1024
    assert message.endswith("ä...")


async def test_an_api_server_that_is_away_is_an_error(in_memory: MemoryAPI) -> None:
    cluster = Cluster(in_memory, "ml")
    pod = await cluster.pod()
    in_memory.away = True
    with pytest.raises(APIError):
        await write(in_memory, Condition(pod, True, "Restored", "", NOON))
