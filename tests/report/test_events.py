"""What happened to a pod is an Event on it, as kubelet's are."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from agent.act.report.events import Events, say
from chrek.kube.errors import APIError

from .conftest import CONTAINER, Cluster
from .memory import MemoryAPI

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
NODE = "node-1"


async def test_an_event_is_of_the_pod_and_its_container(cluster: Cluster) -> None:
    pod = await cluster.pod()
    await Events(cluster.api, NODE).write(say(pod, "Normal", "Restored", "in 0.4 s", NOON))
    (found,) = await cluster.events(pod)
    assert re.fullmatch(rf"{pod.name}\.[0-9a-f]{{16}}", found["metadata"]["name"])
    assert found["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": cluster.namespace,
        "name": pod.name,
        "uid": pod.uid,
        "resourceVersion": pod.version,
        "fieldPath": f"spec.containers{{{CONTAINER}}}",
    }
    assert {
        "type": "Normal",
        "reason": "Restored",
        "message": "in 0.4 s",
        "source": {"component": "chrek-agent", "host": NODE},
        "reportingComponent": "chrek-agent",
        "reportingInstance": NODE,
        "firstTimestamp": "2030-01-01T12:00:00Z",
        "lastTimestamp": "2030-01-01T12:00:00Z",
        "count": 1,
    }.items() <= found.items()


async def test_equal_events_are_one_that_is_counted(cluster: Cluster) -> None:
    pod, events = await cluster.pod(), Events(cluster.api, NODE)
    for minutes in (0, 9, 18, 27):
        at = NOON + timedelta(minutes=minutes)
        await events.write(say(pod, "Warning", "RestoreFailed", "no PID", at))
    (found,) = await cluster.events(pod)
    assert found["count"] == 4
    assert found["firstTimestamp"] == "2030-01-01T12:00:00Z"
    assert found["lastTimestamp"] == "2030-01-01T12:27:00Z"


async def test_an_equal_event_after_a_long_while_is_another(cluster: Cluster) -> None:
    pod, events = await cluster.pod(), Events(cluster.api, NODE)
    for minutes in (0, 11):
        at = NOON + timedelta(minutes=minutes)
        await events.write(say(pod, "Warning", "RestoreFailed", "no PID", at))
    assert [each["count"] for each in await cluster.events(pod)] == [1, 1]


async def test_what_differs_in_anything_is_another_event(cluster: Cluster) -> None:
    pod, other, events = await cluster.pod("a"), await cluster.pod("b"), Events(cluster.api, NODE)
    await events.write(say(pod, "Warning", "RestoreFailed", "no PID", NOON))
    await events.write(say(pod, "Warning", "RestoreFailed", "no memory", NOON))
    await events.write(say(pod, "Warning", "FilesFailed", "no PID", NOON))
    await events.write(say(pod, "Normal", "RestoreFailed", "no PID", NOON))
    await events.write(say(other, "Warning", "RestoreFailed", "no PID", NOON))
    assert [each["count"] for each in await cluster.events(pod)] == [1] * 4
    assert len(await cluster.events(other)) == 1


async def test_an_event_that_somebody_deleted_is_made_again(cluster: Cluster) -> None:
    pod, events = await cluster.pod(), Events(cluster.api, NODE)
    await events.write(say(pod, "Normal", "ColdStart", "none yet", NOON))
    (found,) = await cluster.events(pod)
    name = found["metadata"]["name"]
    await cluster.api.delete(f"/api/v1/namespaces/{cluster.namespace}/events/{name}")
    await events.write(say(pod, "Normal", "ColdStart", "none yet", NOON))
    (found,) = await cluster.events(pod)
    assert found["metadata"]["name"] != name


async def test_an_event_whose_answer_was_lost_is_written_once(in_memory: MemoryAPI) -> None:
    cluster, events = Cluster(in_memory, "ml"), Events(in_memory, NODE)
    pod = await cluster.pod()
    said = say(pod, "Normal", "Restored", "in 0.4 s", NOON)
    in_memory.lost = 1
    with pytest.raises(APIError):
        await events.write(said)
    await events.write(said)
    again = say(pod, "Normal", "Restored", "in 0.4 s", NOON)
    in_memory.lost = 1
    with pytest.raises(APIError):
        await events.write(again)
    await events.write(again)
    (found,) = await cluster.events(pod)
    assert found["count"] == 2


async def test_the_longest_names_and_messages_fit(cluster: Cluster) -> None:
    pod, events = await cluster.pod("a." * 126 + "b"), Events(cluster.api, NODE)
    await events.write(say(pod, "Warning", "R" * 500, "\x1b[31m\n" + "ä" * 5000, NOON))
    (found,) = await cluster.events(pod)
    assert len(found["metadata"]["name"]) <= 253
    assert found["message"].startswith(" [31m ää")
    assert len(found["message"].encode()) <= 1024
    assert len(found["reason"]) <= 128


async def test_an_event_of_a_pod_that_is_gone_is_kept_all_the_same(cluster: Cluster) -> None:
    """It is how a person learns what became of it."""
    pod, events = await cluster.pod(), Events(cluster.api, NODE)
    await cluster.api.delete(f"{cluster.pods}/{pod.name}")
    await events.write(say(pod, "Warning", "RestoreFailed", "no PID", NOON))
    assert len(await cluster.events(pod)) == 1
