"""One serial worker a key; the newest state wins; one's trouble is not the others'."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.watch import workers
from agent.watch.workers import GoneError, Handle, Workers


@asynccontextmanager
async def working(handle: Handle) -> AsyncIterator[Workers]:
    async with asyncio.TaskGroup() as group:
        made = Workers(handle, group)
        yield made
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_many_changes_while_it_is_at_work_are_one_more_look() -> None:
    looks = 0
    go_on = asyncio.Event()

    async def handle(_: str) -> float | None:
        nonlocal looks
        looks += 1
        await go_on.wait()
        return None

    async with working(handle) as made:
        made.wake("a")
        await settled()
        for _ in range(10):
            made.wake("a")
        go_on.set()
        await settled()
        assert looks == 2


async def test_two_keys_do_not_wait_for_each_other_and_one_key_is_never_handled_twice_at_once() -> (
    None
):
    at_work: list[str] = []
    most: dict[str, int] = {}

    async def handle(key: str) -> float | None:
        at_work.append(key)
        most[key] = max(most.get(key, 0), at_work.count(key))
        most["all"] = max(most.get("all", 0), len(at_work))
        for _ in range(3):
            await asyncio.sleep(0)
        at_work.remove(key)
        return None

    async with working(handle) as made:
        for _ in range(5):
            for key in ("a", "b"):
                made.wake(key)
            await asyncio.sleep(0)
        await settled()
    assert most == {"a": 1, "b": 1, "all": 2}


async def test_it_looks_again_after_the_time_it_asked_for() -> None:
    looks = 0
    seen_twice = asyncio.Event()

    async def handle(_: str) -> float | None:
        nonlocal looks
        looks += 1
        if looks == 2:
            seen_twice.set()
            return None
        return 0.0

    async with working(handle) as made:
        made.wake("a")
        await asyncio.wait_for(seen_twice.wait(), 10)


async def test_a_fault_of_one_key_is_tried_again_and_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "_AFTER_A_FAULT_SECONDS", 0.0)
    looks: list[str] = []
    done = asyncio.Event()

    async def handle(key: str) -> float | None:
        looks.append(key)
        if key == "bad" and looks.count("bad") < 3:
            raise ZeroDivisionError
        if looks.count("bad") == 3:
            done.set()
        return None

    async with working(handle) as made:
        made.wake("bad")
        made.wake("good")
        await asyncio.wait_for(done.wait(), 10)
        await settled()
    assert looks.count("bad") == 3
    assert looks.count("good") == 1


async def test_a_key_that_is_gone_has_no_worker_and_gets_one_when_it_comes_back() -> None:
    looks = 0

    async def handle(_: str) -> float | None:
        nonlocal looks
        looks += 1
        raise GoneError

    async with working(handle) as made:
        made.wake("a")
        await settled()
        assert made.keys() == []
        made.wake("a")
        await settled()
        assert made.keys() == []
    assert looks == 2
