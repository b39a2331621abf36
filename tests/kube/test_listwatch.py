"""An observer is told of all that there is, whatever an API server and a network do."""

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from chrek.kube import listwatch
from chrek.kube.api import JSON
from chrek.kube.listwatch import ListWatch

from .scripted import (
    PATH,
    Scripted,
    Step,
    bookmark,
    cut,
    line,
    listed,
    named,
    refused,
    said,
    scripted,
    status,
    watched,
)

HUGE = "x" * (2 << 20)


@dataclass
class Seen:
    """An observer that knows what it was told. names: of all that there is."""

    names: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    last: JSON = field(default_factory=dict)

    def replaced(self, objects: Iterable[JSON]) -> None:
        self.names = {found["metadata"]["name"] for found in objects}
        self.told.append("replaced")

    def changed(self, found: JSON) -> None:
        self.names.add(found["metadata"]["name"])
        self.told.append("changed")
        self.last = found

    def deleted(self, found: JSON) -> None:
        self.names.discard(found["metadata"]["name"])
        self.told.append("deleted")


@dataclass
class Watching:
    server: Scripted
    seen: Seen
    watch: ListWatch
    slept: list[float]
    task: asyncio.Task[None]

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            assert not self.task.done(), self.task
            await asyncio.sleep(0.001)

    async def asked(self, times: int) -> None:
        await self.until(lambda: len(self.server.asked) >= times)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; each takes no time here."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0.001)

    monkeypatch.setattr(listwatch, "asyncio", types.SimpleNamespace(sleep=sleep))
    return pauses


@pytest.fixture
def watching(slept: list[float]):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def run(*steps: Step, selector: dict[str, str] | None = None) -> AsyncIterator[Watching]:
        async with scripted(*steps) as (server, api):
            seen = Seen()
            watch = ListWatch(api, PATH, seen, selector)
            task = asyncio.create_task(watch.run())
            try:
                yield Watching(server, seen, watch, slept, task)
                assert not task.done(), "it watches until it is told to stop"
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()

    return run


async def test_all_is_listed_then_watched_from_that_version(watching) -> None:
    async with watching(listed("a", "b"), selector={"labelSelector": "x=y"}) as run:
        await run.asked(2)
        assert run.seen.names == {"a", "b"}
        assert run.watch.health.listed.is_set()
        (_, first), (path, second) = run.server.asked
        assert path == PATH
        assert first == {"labelSelector": "x=y", "limit": "500"}
        assert second.keys() == {
            "labelSelector", "watch", "allowWatchBookmarks", "resourceVersion", "timeoutSeconds",
        }  # fmt: skip
        assert second["resourceVersion"] == "10"
        assert second["allowWatchBookmarks"] == "true"


async def test_pages_are_told_as_one_list(watching) -> None:
    async with watching(listed("a", more="t1"), listed("b", more="t2"), listed("c")) as run:
        await run.asked(4)
        assert run.seen.told == ["replaced"]
        assert run.seen.names == {"a", "b", "c"}
        assert run.server.queries("continue") == [None, "t1", "t2", None]


async def test_a_list_of_nothing_is_a_list(watching) -> None:
    none = {"metadata": {"resourceVersion": "7"}, "items": None}
    async with watching(said(200, none)) as run:
        await run.asked(2)
        assert run.watch.health.listed.is_set()
        assert run.server.queries("resourceVersion") == [None, "7"]


async def test_changes_are_told_as_they_come(watching) -> None:
    lines = [
        line("ADDED", named("b", "11")), line("MODIFIED", named("a", "12", spec={"x": 1})),
        line("DELETED", named("b", "13")),
    ]  # fmt: skip
    async with watching(listed("a"), watched(*lines)) as run:
        await run.asked(3)
        assert run.seen.told == ["replaced", "changed", "changed", "deleted"]
        assert run.seen.names == {"a"}
        assert run.seen.last["spec"] == {"x": 1}
        assert run.server.queries("resourceVersion") == [None, "10", "13"]


async def test_lines_may_come_in_any_pieces(watching) -> None:
    whole = line("ADDED", named("ä", "11")) + b"\n" + bookmark("12")
    async with watching(
        listed(), watched(*(whole[n : n + 3] for n in range(0, len(whole), 3)))
    ) as run:
        await run.asked(3)
        assert run.seen.names == {"ä"}
        assert run.server.queries("resourceVersion") == [None, "10", "12"]


async def test_bookmarks_move_the_version_and_tell_nobody(watching) -> None:
    async with watching(listed("a"), watched(bookmark("77"))) as run:
        await run.asked(3)
        assert run.seen.told == ["replaced"]
        assert run.server.queries("resourceVersion") == [None, "10", "77"]


async def test_a_kind_of_line_that_is_not_known_is_passed_over(watching) -> None:
    async with watching(listed("a"), watched(line("NEWS", named("z", "50")))) as run:
        await run.asked(3)
        assert run.seen.names == {"a"}
        assert run.server.queries("resourceVersion") == [None, "10", "50"]


@pytest.mark.parametrize(
    "gone",
    [refused(410), watched(line("ERROR", status(410)))],
    ids=["as the status", "as a line"],
)
async def test_a_version_that_is_gone_means_list_again(watching, gone: Step) -> None:
    async with watching(listed("a", "b"), gone, listed("b", "c", version="90")) as run:
        await run.asked(4)
        assert run.seen.names == {"b", "c"}
        assert run.server.queries("resourceVersion") == [None, "10", None, "90"]


async def test_a_page_that_is_gone_means_list_from_the_start(watching) -> None:
    steps = [listed("a", more="t1"), refused(410), listed("b", more="t2"), listed("c")]
    async with watching(*steps) as run:
        await run.asked(5)
        assert run.server.queries("continue") == [None, "t1", None, "t2", None]
        assert run.seen.told == ["replaced"], "half a list is told to nobody"
        assert run.seen.names == {"b", "c"}


@pytest.mark.parametrize("code", [500, 503, 429, 403, 404])
async def test_an_api_server_that_refuses_is_asked_again(watching, code: int) -> None:
    steps = [refused(code), listed("a"), refused(code), watched(line("ADDED", named("b", "11")))]
    async with watching(*steps) as run:
        await run.until(lambda: run.seen.names == {"a", "b"})
        assert run.server.queries("resourceVersion")[:4] == [None, None, "10", "10"]
        await run.until(lambda: not run.watch.health.failures)
        assert run.watch.health.restarts == 2


async def test_an_error_in_a_watch_that_is_not_410_goes_on_from_there(watching) -> None:
    steps = [listed("a"), watched(bookmark("11"), line("ERROR", status(500, "etcd is away")))]
    async with watching(*steps) as run:
        await run.asked(3)
        assert run.server.queries("resourceVersion") == [None, "10", "11"]
        assert "etcd is away" in run.watch.health.problem


async def test_a_connection_that_breaks_within_a_line_loses_nothing(watching) -> None:
    half = line("ADDED", named("c", "12"))[:30]
    steps = [
        listed("a"), cut(line("ADDED", named("b", "11")), half),
        watched(line("ADDED", named("c", "12"))),
    ]  # fmt: skip
    async with watching(*steps) as run:
        await run.until(lambda: run.seen.names == {"a", "b", "c"})
        assert run.server.queries("resourceVersion")[:3] == [None, "10", "11"]
        assert run.seen.told.count("replaced") == 1


@pytest.mark.parametrize(
    "garbage",
    [b"not JSON\n", b"\xff\xfe\n", b"[]\n", b"5\n", b"null\n", b"{}\n", b'{"type": "ADDED"}\n',
     line("ADDED", None), line("ADDED", "x"), line("ADDED", {}), line("ADDED", {"metadata": []}),
     line("ERROR", "x"), line("ERROR", None), line("ERROR", []), b"[" * 100_000 + b"\n",
     b'{"type": "ADDED", "object": "\xff"}\n', line("ADDED", named("z", "11"))[:-9]],
    ids=lambda value: repr(value[:40]),
)  # fmt: skip
async def test_a_line_without_sense_means_list_again(watching, garbage: bytes) -> None:
    async with watching(listed("a"), watched(garbage), listed("a", "b", version="20")) as run:
        await run.until(lambda: run.seen.names == {"a", "b"})
        assert run.server.queries("resourceVersion")[:3] == [None, "10", None]


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b'{"items": "\xff"}', b"[" * 100_000, b"{}", b'{"items": []}',
     b'{"metadata": {"resourceVersion": "1"}}', b'{"metadata": [], "items": []}',
     b'{"metadata": {"resourceVersion": "1"}, "items": 5}'],
    ids=lambda value: repr(value[:40]),
)  # fmt: skip
async def test_a_list_that_is_none_forgets_nothing(watching, answer: bytes) -> None:
    steps = [listed("a"), refused(410), said(200, answer), listed("b")]
    async with watching(*steps) as run:
        await run.until(lambda: len(run.server.asked) >= 3 and run.watch.health.failures == 2)
        assert run.seen.names == {"a"}
        await run.until(lambda: run.seen.names == {"b"})


async def test_a_server_that_is_away_for_a_while_is_found_again(watching) -> None:
    async with watching(listed("a"), watched(bookmark("15"), ends=False)) as run:
        await run.until(lambda: run.server.queries("watch") == [None, "true"])
        await run.server.stop()
        await run.until(lambda: run.watch.health.failures >= 3)
        assert run.seen.names == {"a"}, "what was known is known"
        assert run.watch.health.listed.is_set()
        run.server.steps = [watched(line("ADDED", named("b", "16")), ends=False)]
        await run.server.start()
        await run.until(lambda: run.seen.names == {"a", "b"})
        assert run.server.queries("resourceVersion")[-1] == "15"
        await run.until(lambda: not run.watch.health.failures)
        assert run.watch.health.problem == ""


async def test_a_server_that_is_away_from_the_start_is_waited_for(watching) -> None:
    async with watching(*[refused(503)] * 5, listed("a")) as run:
        await run.until(lambda: run.watch.health.failures)
        assert not run.watch.health.listed.is_set()
        assert "503" in run.watch.health.problem
        await run.until(lambda: run.seen.names == {"a"})


async def test_a_silent_connection_is_given_up(watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listwatch, "_SILENCE_SECONDS", 0.1)
    silent, news = watched(bookmark("11"), ends=False), watched(line("ADDED", named("b", "12")))
    async with watching(listed("a"), silent, news) as run:
        await run.until(lambda: run.seen.names == {"a", "b"})
        assert run.server.queries("resourceVersion")[:3] == [None, "10", "11"]


async def test_lines_of_2_mib_are_read(watching) -> None:
    big = line("ADDED", named("b", "11", spec={"x": HUGE}))
    async with watching(listed("a"), watched(big, big, bookmark("12"))) as run:
        await run.asked(3)
        assert run.seen.last["spec"]["x"] == HUGE
        assert run.server.queries("resourceVersion") == [None, "10", "12"]


async def test_a_line_that_is_too_long_to_read_means_list_again(watching) -> None:
    endless = [b"x" * (1 << 20)] * 12
    async with watching(listed("a"), watched(*endless, ends=False), listed("b")) as run:
        await run.until(lambda: run.seen.names == {"b"})


async def test_a_watch_that_ends_at_once_is_not_taken_up_without_a_pause(watching) -> None:
    async with watching(listed("a"), *[watched()] * 20) as run:
        await run.asked(20)
        assert len(run.slept) >= 18
        assert min(run.slept) >= 0.05


async def test_pauses_grow_with_failures_up_to_half_a_minute_and_are_not_all_alike(
    watching,
) -> None:
    async with watching(*[refused(500)] * 12, listed("a")) as run:
        await run.until(lambda: run.seen.names == {"a"})
        pauses = run.slept[:12]
    longest = [min(0.5 * 2**failure, 30.0) for failure in range(1, 13)]
    assert all(most / 2 <= found <= most for found, most in zip(pauses, longest, strict=True))
    assert len({found / most for found, most in zip(pauses, longest, strict=True)}) > 1


async def test_pauses_are_short_again_after_a_good_answer(watching) -> None:
    good = watched(bookmark("11"))
    async with watching(listed(), *[refused(500)] * 6, good, refused(500)) as run:
        await run.asked(10)
        assert run.watch.health.restarts == 7
        await run.until(lambda: len(run.slept) >= 8)
        assert run.slept[7] <= 1.0


async def test_a_watch_that_is_left_early_leaves_no_connection_open(watching) -> None:
    bad = watched(b"garbage\n", ends=False)
    async with watching(*[listed("a"), bad] * 20, listed("b")) as run:
        await run.until(lambda: run.seen.names == {"b"})
        await run.until(lambda: run.server.open <= 1)
