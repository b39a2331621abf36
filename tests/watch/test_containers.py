"""The newest container of each name, told of when it changes, also after the runtime was away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from agent.runtime.cri.errors import RuntimeUnreachableError
from agent.runtime.cri.model import Container, ContainerID
from agent.watch import containers
from agent.watch.containers import Containers

MAIN = Container(
    id=ContainerID("1"),
    sandbox="s",
    pod_uid="uid-1",
    pod_name="web-1",
    namespace="team",
    name="main",
    attempt=0,
    state="running",
    created_ns=1,
)


class Runtime:
    """Lists what it is told to; away while `listed` is None."""

    def __init__(self) -> None:
        self.listed: list[Container] | None = []
        self.asked = 0

    async def containers(self) -> list[Container]:
        self.asked += 1
        if self.listed is None:
            raise RuntimeUnreachableError("containerd is away")
        return self.listed


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOON_SECONDS", "_LATER_SECONDS", "_AFTER_A_FAILURE_SECONDS"):
        monkeypatch.setattr(containers, name, 0.0)


@asynccontextmanager
async def watching(runtime: Runtime, woken: list[str]) -> AsyncIterator[Containers]:
    watched = Containers(runtime, lambda: True, woken.append)
    task = asyncio.create_task(watched.run())
    try:
        await asked_again(runtime)
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def asked_again(runtime: Runtime) -> None:
    before = runtime.asked
    while runtime.asked < before + 2:
        await asyncio.sleep(0)


async def test_a_pod_is_told_of_once_when_a_container_of_it_comes_changes_or_goes() -> None:
    runtime, woken = Runtime(), list[str]()
    async with watching(runtime, woken) as watched:
        runtime.listed = [MAIN]
        await asked_again(runtime)
        assert watched.of("uid-1", "main") == MAIN
        runtime.listed = [replace(MAIN, state="exited")]
        await asked_again(runtime)
        await asked_again(runtime)
        runtime.listed = []
        await asked_again(runtime)
        assert watched.of("uid-1", "main") is None
    assert woken == ["uid-1"] * 3


async def test_of_two_with_one_name_the_later_attempt_counts_and_then_the_later_sandbox() -> None:
    runtime = Runtime()
    again = replace(MAIN, id=ContainerID("2"), attempt=1, created_ns=2)
    runtime.listed = [again, replace(MAIN, state="exited")]
    async with watching(runtime, []) as watched:
        assert watched.of("uid-1", "main") == again
        # After the node was started again all counting begins anew, in another sandbox.
        reborn = replace(MAIN, id=ContainerID("3"), sandbox="t", created_ns=3)
        runtime.listed = [reborn, replace(again, state="exited")]
        await asked_again(runtime)
        assert watched.of("uid-1", "main") == reborn


async def test_while_the_runtime_is_away_what_was_known_stays_and_the_problem_is_told() -> None:
    runtime = Runtime()
    runtime.listed = [MAIN]
    async with watching(runtime, []) as watched:
        assert watched.problem == ""
        runtime.listed = None
        await asked_again(runtime)
        assert watched.problem == "containerd is away"
        assert watched.of("uid-1", "main") == MAIN
        runtime.listed = [MAIN]
        await asked_again(runtime)
        assert watched.problem == ""
