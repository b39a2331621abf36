"""Reports reach the cluster, in order, whatever it does; and nobody waits for them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.act.report import reporter as reporters
from agent.act.report.reporter import Reporter
from chrek.kube.api import API, JSON
from chrek.kube.errors import APIError

from .api_server import APIServer
from .conftest import Cluster
from .memory import MemoryAPI

TYPE = "chrek.io/Restored"


@asynccontextmanager
async def at_work(api: API) -> AsyncIterator[Reporter]:
    reporter = Reporter(api, "node-1")
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter
        assert not task.done(), "whatever happens, it goes on"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporters, "_LONGEST_PAUSE_SECONDS", 0.2)


async def test_what_is_reported_is_in_the_cluster(cluster: Cluster) -> None:
    pod = await cluster.pod()
    async with at_work(cluster.api) as reporter:
        reporter.condition(pod, restored=True, reason="Restored", message="in 0.4 s")
        reporter.event(pod, "Normal", "Restored", "in 0.4 s")
        await reporter.drain(60)
    assert [each["reason"] for each in await cluster.events(pod)] == ["Restored"]
    assert (await cluster.conditions(pod))[TYPE]["status"] == "True"
    assert reporter.lost == 0


async def test_what_was_reported_last_is_told_after_it_ended(cluster: Cluster) -> None:
    pods = [await cluster.pod(f"web-{number}") for number in range(6)]
    async with at_work(cluster.api) as reporter:
        for pod in pods:
            reporter.event(pod, "Normal", "First", "")
        await asyncio.sleep(0.005)  # some are under way
    for pod in pods:
        reporter.event(pod, "Normal", "Last", "")
        reporter.condition(pod, restored=True, reason="Restored", message="")
    await reporter.drain(60)
    for pod in pods:
        assert [each["reason"] for each in await cluster.events(pod)] == ["First", "Last"]
        assert TYPE in await cluster.conditions(pod)
    assert reporter.lost == 0


async def test_reports_may_come_before_it_runs(cluster: Cluster) -> None:
    pod = await cluster.pod()
    reporter = Reporter(cluster.api, "node-1")
    reporter.event(pod, "Normal", "ColdStart", "none yet")
    task = asyncio.create_task(reporter.run())
    await reporter.drain(60)
    task.cancel()
    assert len(await cluster.events(pod)) == 1


async def test_events_of_a_pod_keep_their_order(cluster: Cluster) -> None:
    pods = [await cluster.pod(f"web-{number}") for number in range(8)]
    async with at_work(cluster.api) as reporter:
        for number in range(10):
            for pod in pods:
                reporter.event(pod, "Normal", f"Step{number}", "")
        await reporter.drain(60)
    for pod in pods:
        made = await cluster.events(pod)
        made.sort(key=lambda each: int(each["metadata"]["resourceVersion"]))
        assert [each["reason"] for each in made] == [f"Step{number}" for number in range(10)]


async def test_of_conditions_that_wait_the_newest_counts(in_memory: MemoryAPI) -> None:
    cluster = Cluster(in_memory, "ml")
    pod = await cluster.pod()
    in_memory.away = True
    async with at_work(in_memory) as reporter:
        reporter.condition(pod, restored=False, reason="NoCheckpoint", message="")
        await asyncio.sleep(0.05)
        reporter.condition(pod, restored=True, reason="Restored", message="")
        in_memory.writes.clear()
        in_memory.away = False
        await reporter.drain(60)
    assert (await cluster.conditions(pod))[TYPE]["reason"] == "Restored"
    assert len(in_memory.writes) == 1, "the one before it is news no more"


async def test_what_happens_again_while_it_waits_is_counted(in_memory: MemoryAPI) -> None:
    cluster = Cluster(in_memory, "ml")
    pod = await cluster.pod()
    in_memory.away = True
    async with at_work(in_memory) as reporter:
        for _ in range(500):
            reporter.event(pod, "Warning", "RestoreFailed", "no PID")
        await asyncio.sleep(0.05)
        in_memory.away = False
        await reporter.drain(60)
    (found,) = await cluster.events(pod)
    assert found["count"] == 500


async def test_an_api_server_that_refuses_one_report_gets_the_others(
    in_memory: MemoryAPI, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(MemoryAPI):
        async def create(self, path: str, body: JSON) -> JSON:
            if body.get("reason") == "Bad":
                raise APIError(f"{path} gave 403: not that", status=403)
            if body.get("reason") == "Odd":
                raise KeyError("as a mistake of chrek's own would")
            return await super().create(path, body)

    cluster = Cluster(api := Refusing(), "ml")
    pod = await cluster.pod()
    async with at_work(api) as reporter:
        for reason in ("Bad", "Odd", "Good"):
            reporter.event(pod, "Normal", reason, "")
        reporter.condition(pod, restored=True, reason="Restored", message="")
        await reporter.drain(60)
    assert [each["reason"] for each in await cluster.events(pod)] == ["Good"]
    assert TYPE in await cluster.conditions(pod)
    assert reporter.lost == 2
    lost = [record.fields for record in caplog.records if record.message == "report lost"]  # type: ignore[attr-defined]
    assert [(each["pod"], each["reason"]) for each in lost] == [
        (f"ml/{pod.name}", "Bad"),
        (f"ml/{pod.name}", "Odd"),
    ]


async def test_a_pod_whose_events_are_not_taken_yet_has_its_condition(
    in_memory: MemoryAPI,
) -> None:
    """Clusters that limit the rate of events answer 429."""

    class Limited(MemoryAPI):
        limited = True

        async def create(self, path: str, body: JSON) -> JSON:
            if self.limited and path.endswith("/events"):
                raise APIError(f"{path} gave 429: slowly", status=429)
            return await super().create(path, body)

    cluster = Cluster(api := Limited(), "ml")
    pod = await cluster.pod()
    async with at_work(api) as reporter:
        reporter.event(pod, "Normal", "Restored", "")
        reporter.condition(pod, restored=True, reason="Restored", message="")
        while TYPE not in await cluster.conditions(pod):
            await asyncio.sleep(0.01)
        api.limited = False
        await reporter.drain(60)
    assert len(await cluster.events(pod)) == 1


async def test_too_many_that_wait_cost_the_oldest_events_and_no_condition(
    in_memory: MemoryAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporters, "_MOST_EVENTS", 10)
    cluster = Cluster(in_memory, "ml")
    pods = [await cluster.pod(f"web-{number}") for number in range(20)]
    in_memory.away = True
    async with at_work(in_memory) as reporter:
        for pod in pods:
            reporter.event(pod, "Normal", "Restored", "")
            reporter.condition(pod, restored=True, reason="Restored", message="")
        in_memory.away = False
        await reporter.drain(60)
    assert [len(await cluster.events(pod)) for pod in pods] == [0] * 10 + [1] * 10
    assert all([TYPE in await cluster.conditions(pod) for pod in pods])
    assert reporter.lost == 10


async def test_an_event_that_nobody_took_for_an_hour_is_let_go(
    in_memory: MemoryAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(in_memory, "ml")
    pod = await cluster.pod()
    in_memory.away = True
    async with at_work(in_memory) as reporter:
        reporter.event(pod, "Normal", "Restored", "")
        reporter.condition(pod, restored=True, reason="Restored", message="")
        monkeypatch.setattr(reporters, "_now", lambda: datetime.now(UTC) + timedelta(hours=2))
        in_memory.away = False
        await reporter.drain(60)
    assert not await cluster.events(pod)
    assert TYPE in await cluster.conditions(pod)
    assert reporter.lost == 1


async def test_what_cannot_be_told_before_the_end_is_counted_and_logged(
    in_memory: MemoryAPI, caplog: pytest.LogCaptureFixture
) -> None:
    pod = await Cluster(in_memory, "ml").pod()
    in_memory.away = True
    async with at_work(in_memory) as reporter:
        reporter.event(pod, "Normal", "Restored", "")
        reporter.condition(pod, restored=True, reason="Restored", message="")
        await reporter.drain(0.1)
    assert reporter.lost == 2
    assert "reports lost" in caplog.messages


async def test_nothing_to_tell_ends_at_once(in_memory: MemoryAPI) -> None:
    await Reporter(in_memory, "node-1").drain(3600)


async def test_a_pod_that_went_meanwhile_is_no_loss(cluster: Cluster) -> None:
    pod = await cluster.pod()
    await cluster.api.delete(f"{cluster.pods}/{pod.name}")
    async with at_work(cluster.api) as reporter:
        reporter.condition(pod, restored=True, reason="Restored", message="")
        await reporter.drain(60)
    assert reporter.lost == 0


async def test_the_log_alone_tells_it_all(
    in_memory: MemoryAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pod = await Cluster(in_memory, "ml").pod()
    in_memory.away = True
    reporter = Reporter(in_memory, "node-1")
    reporter.event(pod, "Warning", "RestoreFailed", "no PID")
    reporter.condition(pod, restored=False, reason="RestoreFailed", message="no PID")
    told: list[dict[str, Any]] = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    where = {"pod": f"ml/{pod.name}", "reason": "RestoreFailed", "message": "no PID"}
    assert told == [where, {**where, "restored": False}]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_an_api_server_that_is_killed_and_comes_back_hears_it_all(
    real: APIServer, on_real: Cluster
) -> None:
    pods = [await on_real.pod(f"web-{number}") for number in range(5)]
    async with at_work(on_real.api) as reporter:
        reporter.event(pods[0], "Normal", "Before", "")
        await reporter.drain(60)
        real.kill()
        for pod in pods:
            reporter.condition(pod, restored=False, reason="NoCheckpoint", message="")
            reporter.event(pod, "Normal", "During", "")
            reporter.condition(pod, restored=True, reason="Restored", message="")
        await asyncio.sleep(0.5)
        real.start()
        await asyncio.to_thread(real.wait)
        await reporter.drain(60)
    for pod in pods:
        assert [each["reason"] for each in await on_real.events(pod)][-1] == "During"
        assert (await on_real.conditions(pod))[TYPE]["reason"] == "Restored"
    assert reporter.lost == 0
