"""How often a registry is asked, and what is remembered of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from webhook.registry.credentials import keyring
from webhook.registry.errors import (
    ImageUnknownError,
    RegistryBusyError,
    RegistryDeniedError,
    RegistryError,
    RegistryTimeoutError,
    RegistryUnreachableError,
)
from webhook.registry.flights import Flights
from webhook.registry.lookup import Registry
from webhook.registry.memory import Passing, Recent
from webhook.registry.turns import Turns

from . import images
from .conftest import Clock
from .hosts import Handler, Host, Hosts, content, manifest, redirect
from .images import config, digest
from .test_pull_secrets import entry, secret

Asking = Callable[..., Awaitable[Registry]]

CONFIG = config(["/app"])
APP = images.image(CONFIG)
NEXT = images.image(config(["/next"]))
MANIFEST = "/v2/app/manifests/latest"
BLOB = f"/v2/app/blobs/{digest(CONFIG)}"


@pytest.fixture
def app(host: Host) -> str:
    host.holds("app", "latest", APP)
    return f"{host.at}/app"


def gate(handler: Handler) -> tuple[Handler, asyncio.Event]:
    """A handler that answers once the event is set."""
    opened = asyncio.Event()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await opened.wait()
        return await handler(request)

    return answer, opened


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_hundred_pods_ask_once(host: Host, app: str, registry: Registry) -> None:
    host.routes[MANIFEST], opened = gate(host.routes[MANIFEST])
    asking = [asyncio.create_task(registry.config(app)) for _ in range(100)]
    await until(lambda: host.requests)
    opened.set()
    found = await asyncio.gather(*asking)
    assert {each.entrypoint for each in found} == {("/app",)}
    assert host.paths() == [MANIFEST, BLOB]


async def test_all_spellings_of_a_name_are_one(host: Host, app: str, registry: Registry) -> None:
    for image in (app, f"{app}:latest", app):
        await registry.config(image)
    assert host.paths() == [MANIFEST, BLOB]


async def test_whoever_stops_waiting_stops_nobody_else(
    host: Host, app: str, registry: Registry
) -> None:
    host.routes[MANIFEST], opened = gate(host.routes[MANIFEST])
    first, second = (asyncio.create_task(registry.config(app)) for _ in range(2))
    await until(lambda: host.requests)
    first.cancel()
    opened.set()
    assert (await second).entrypoint == ("/app",)
    assert first.cancelled() or isinstance(await asyncio.wait_for(_result(first), 5), BaseException)


async def _result(task: asyncio.Task[object]) -> BaseException | None:
    await asyncio.wait([task])
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def test_a_tag_is_asked_again_after_a_minute_without_being_pulled(
    host: Host, app: str, registry: Registry, clock: Clock
) -> None:
    await registry.config(app)
    clock.now += 59
    await registry.config(app)
    assert host.paths("HEAD") == []
    clock.now += 2
    await registry.config(app)
    assert (host.paths(), host.paths("HEAD")) == ([MANIFEST, BLOB], [MANIFEST])
    clock.now += 59
    await registry.config(app)
    assert len(host.paths("HEAD")) == 1


async def test_a_tag_that_has_moved_is_read_anew(
    host: Host, app: str, registry: Registry, clock: Clock
) -> None:
    await registry.config(app)
    host.holds("app", "latest", NEXT)
    assert (await registry.config(app)).entrypoint == ("/app",)
    clock.now += 61
    found = await registry.config(app)
    assert (found.entrypoint, found.digest) == (("/next",), NEXT.digest)


@pytest.mark.parametrize("status", [400, 404, 405, 500])
async def test_a_registry_that_knows_no_head_is_asked_in_full(
    host: Host, app: str, registry: Registry, clock: Clock, status: int
) -> None:
    async def no_head(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(status=status)
        return await manifest(APP)(request)

    await registry.config(app)
    host.routes[MANIFEST] = no_head
    clock.now += 61
    assert (await registry.config(app)).entrypoint == ("/app",)
    assert host.paths() == [MANIFEST, BLOB, MANIFEST]  # but its config is known


async def test_a_tag_that_is_gone_is_unknown(
    host: Host, app: str, registry: Registry, clock: Clock
) -> None:
    await registry.config(app)
    del host.routes[MANIFEST]
    clock.now += 61
    with pytest.raises(ImageUnknownError):
        await registry.config(app)


async def test_a_digest_is_asked_once_and_for_all(
    host: Host, app: str, registry: Registry, clock: Clock
) -> None:
    pinned = f"{app}@{APP.digest}"
    await registry.config(pinned)
    clock.now += 1e9
    assert (await registry.config(pinned)).entrypoint == ("/app",)
    assert len(host.requests) == 2


async def test_another_repository_with_the_same_digest_is_asked(
    host: Host, app: str, registry: Registry
) -> None:
    await registry.config(app)
    host.routes["/v2/mine/manifests/latest"] = manifest(APP)  # but not its config
    with pytest.raises(ImageUnknownError):
        await registry.config(f"{host.at}/mine")


async def test_another_credential_is_asked_for(host: Host, app: str, registry: Registry) -> None:
    await registry.config(app)
    host.routes[MANIFEST] = content(b"", 403)
    other = keyring([secret({host.at: entry("someone")})])
    with pytest.raises(RegistryDeniedError):
        await registry.config(app, other)
    assert (await registry.config(app)).entrypoint == ("/app",)


async def test_a_failure_is_remembered_for_a_moment(
    host: Host, app: str, registry: Registry, clock: Clock
) -> None:
    host.routes[MANIFEST] = content(b"", 404)
    errors = []
    for _ in range(3):
        with pytest.raises(ImageUnknownError) as caught:
            await registry.config(app)
        errors.append(caught.value)
    assert len(host.requests) == 1
    assert len({id(error) for error in errors}) == 3
    assert len({str(error) for error in errors}) == 1
    host.routes[MANIFEST] = manifest(APP)
    clock.now += 6
    assert (await registry.config(app)).entrypoint == ("/app",)


async def test_a_host_that_is_silent_is_left_alone_for_a_moment(
    host: Host, app: str, asking: Asking, clock: Clock
) -> None:
    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        clock.now += 2  # what a silence of the deadline's length takes
        await asyncio.Event().wait()
        raise AssertionError

    host.routes[MANIFEST] = silent
    registry = await asking(deadline_seconds=0.2, failure_seconds=5.0)
    with pytest.raises(RegistryTimeoutError):
        await registry.config(app)
    with pytest.raises(RegistryUnreachableError, match="did not answer a moment ago"):
        await registry.config(f"{host.at}/another")
    assert len(host.requests) == 1
    clock.now += 6
    with pytest.raises(ImageUnknownError):
        await registry.config(f"{host.at}/another")


async def test_a_host_that_was_given_no_time_is_not_blamed(
    host: Host, app: str, asking: Asking
) -> None:
    host.routes[MANIFEST], _ = gate(host.routes[MANIFEST])
    registry = await asking(deadline_seconds=0.2)  # the clock stands: it took no time
    with pytest.raises(RegistryTimeoutError):
        await registry.config(app)
    with pytest.raises(ImageUnknownError):
        await registry.config(f"{host.at}/another")


async def test_a_host_that_answers_with_an_error_is_not_left_alone(
    host: Host, app: str, registry: Registry
) -> None:
    host.routes[MANIFEST] = content(b"", 500)
    host.holds("good", "latest", APP)
    with pytest.raises(RegistryUnreachableError):
        await registry.config(app)
    assert (await registry.config(f"{host.at}/good")).entrypoint == ("/app",)


async def test_a_host_that_breaks_off_an_answer_is_not_left_alone(
    host: Host, app: str, registry: Registry
) -> None:
    async def short(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        assert request.transport is not None
        request.transport.close()
        return response

    host.routes[MANIFEST] = short
    host.holds("good", "latest", APP)
    with pytest.raises(RegistryUnreachableError, match="breaks off"):
        await registry.config(app)
    assert (await registry.config(f"{host.at}/good")).entrypoint == ("/app",)


async def test_a_dead_host_is_asked_by_one_pod_only(
    hosts: Hosts, registry: Registry, clock: Clock
) -> None:
    hosts.internet.names["dead.example"] = ["127.0.1.77"]
    for name in "abc":
        with pytest.raises(RegistryUnreachableError, match=f"dead.example:1/{name}"):
            await registry.config(f"dead.example:1/{name}")
    revived = await hosts.start("dead.example", "127.0.1.77")
    revived.holds("app", "latest", APP)
    assert (await registry.config(f"{revived.at}/app")).entrypoint == ("/app",)
    assert clock.now == 1000.0


async def test_a_host_that_is_dead_on_one_registrys_word_is_alive_on_anothers(
    hosts: Hosts, host: Host, app: str, registry: Registry
) -> None:
    other = await hosts.start("other.example", "127.0.1.5")
    away = await hosts.start("cdn.example", "127.0.1.6")
    away.routes["/good"] = content(CONFIG)

    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    away.routes["/evil"] = hang_up
    for at, path in ((other, "/evil"), (host, "/good")):
        at.holds("app", "latest", APP)
        at.routes[BLOB] = redirect(away.url(path))
    with pytest.raises(RegistryUnreachableError):
        await registry.config(f"{other.at}/app")
    with pytest.raises(RegistryUnreachableError, match="a moment ago"):
        await registry.config(f"{other.at}/app@{APP.digest}")
    assert (await registry.config(app)).entrypoint == ("/app",)


async def test_no_more_lookups_wait_than_may(host: Host, app: str, asking: Asking) -> None:
    host.routes[MANIFEST], opened = gate(host.routes[MANIFEST])
    registry = await asking(waiting_lookups=1, deadline_seconds=60.0)
    first, same = (asyncio.create_task(registry.config(app)) for _ in range(2))
    await until(lambda: host.requests)
    with pytest.raises(RegistryBusyError):
        await registry.config(f"{host.at}/another")
    opened.set()
    assert await first == await same


async def test_lookups_of_one_registry_take_turns(hosts: Hosts, host: Host, asking: Asking) -> None:
    held, opened = gate(manifest(APP))
    for name in "abcd":
        host.holds(name, "latest", APP)
        host.routes[f"/v2/{name}/manifests/latest"] = held
    other = await hosts.start("other.example", "127.0.1.5")
    other.holds("app", "latest", APP)
    registry = await asking(lookups=3, lookups_per_registry=2, deadline_seconds=60.0)
    asked = [asyncio.create_task(registry.config(f"{host.at}/{name}")) for name in "abcd"]
    await until(lambda: len(host.requests) == 2)
    assert (await registry.config(f"{other.at}/app")).entrypoint == ("/app",)
    assert len(host.requests) == 2
    opened.set()
    assert {found.entrypoint for found in await asyncio.gather(*asked)} == {("/app",)}


async def test_waiting_for_a_turn_ends_with_the_deadline(
    host: Host, app: str, asking: Asking
) -> None:
    registry = await asking(lookups=1, deadline_seconds=0.1)
    async with registry._turns.turn("another.example"):
        with pytest.raises(RegistryTimeoutError, match="waiting for a turn"):
            await registry.config(app)
    assert host.requests == []


async def test_closing_ends_what_is_under_way(host: Host, app: str, asking: Asking) -> None:
    host.routes[MANIFEST], _ = gate(host.routes[MANIFEST])
    registry = await asking(deadline_seconds=60.0)
    waiting = asyncio.create_task(registry.config(app))
    await until(lambda: host.requests)
    await registry.__aexit__(None, None, None)
    assert isinstance(await _result(waiting), asyncio.CancelledError)


async def test_connections_are_used_again(host: Host, app: str, registry: Registry) -> None:
    host.holds("other", "latest", NEXT)
    await registry.config(app)
    await registry.config(f"{host.at}/other")
    peers = {
        request.transport.get_extra_info("peername")
        for request in host.requests[1:]
        if request.transport
    }
    assert len(peers) <= 1


async def test_no_secret_is_logged(
    host: Host, app: str, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    header = f'Bearer realm="{host.url("/token")}"'
    locked = content(b"", 401, WWW_Authenticate=header)
    host.routes[MANIFEST] = locked
    host.routes["/token"] = content(b'{"token": "secrettoken"}')
    ring = keyring([secret({host.at: entry("robotname", "hunter2")})])
    with pytest.raises(RegistryDeniedError) as caught:
        await registry.config(app, ring)
    chain: list[BaseException | None] = [caught.value, caught.value.__cause__]
    said = " ".join(
        [repr(each) for each in chain]
        + [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    )
    assert "registry-lookup" in said
    for word in ("secrettoken", "robotname", "hunter2"):
        assert word not in said


def test_the_least_recent_is_forgotten_first() -> None:
    recent: Recent[str, str] = Recent(2)
    for key in "ab":
        recent.put(key, key)
    recent.get("a")
    recent.put("c", "c")
    assert [recent.get(key) for key in "abc"] == ["a", None, "c"]


def test_bytes_are_bounded_and_counted() -> None:
    recent: Recent[str, str] = Recent(100, 10, len)
    recent.put("a", "12345")
    recent.put("a", "123")
    recent.put("b", "1234567")
    assert (len(recent), recent.held_bytes) == (2, 10)
    recent.put("c", "1")
    assert (recent.get("a"), recent.held_bytes) == (None, 8)
    recent.put("d", "x" * 11)
    assert (len(recent), recent.held_bytes) == (0, 0)


def test_what_passes_is_kept_for_comparison(clock: Clock) -> None:
    passing: Passing[str, int] = Passing(10, 5.0, clock)
    passing.put("a", 1)
    clock.now += 5
    assert (passing.get("a"), passing.last("a"), passing.get("b")) == (None, 1, None)


async def test_a_flight_that_fails_fails_for_all_and_is_forgotten() -> None:
    flights: Flights[str, int] = Flights()

    async def fail() -> int:
        raise RegistryError("no")

    results = await asyncio.gather(
        *(flights.join("a", fail) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [RegistryError] * 3
    await asyncio.sleep(0)
    assert len(flights) == 0


async def test_a_turn_that_ends_leaves_nothing_behind() -> None:
    turns = Turns(1, 1)
    async with turns.turn("a"):
        waiting = asyncio.create_task(turns.turn("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    async with turns.turn("a"):
        pass
    assert turns._hosts == {}
