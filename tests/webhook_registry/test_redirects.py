"""Where a registry can send the webhook, and what is shown there."""

import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Sequence

import pytest
from aiohttp import web

from webhook.registry.addresses import Address, Zone
from webhook.registry.credentials import Keyring, keyring
from webhook.registry.errors import (
    RegistryAnswerError,
    RegistryDeniedError,
    RegistryError,
    RegistryUnreachableError,
    RegistryUnsafeError,
)
from webhook.registry.lookup import Registry

from . import images
from .conftest import Clock
from .hosts import Handler, Host, Hosts, Loopback, content, redirect
from .images import config, digest
from .test_pull_secrets import entry, secret

Asking = Callable[..., Awaitable[Registry]]

CONFIG = config(["/app"])
APP = images.image(CONFIG)
BLOB = f"/v2/app/blobs/{digest(CONFIG)}"

ALL_REDIRECTS = [301, 302, 303, 307, 308]


def locked(handler: Handler) -> Handler:
    """Asks for Basic authorization first."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic realm=x"})
        return await handler(request)

    return answer


def wants_token(host: Host, realm: str) -> None:
    """Make every document of `host` ask for a token of `realm`."""

    def asking(handler: Handler) -> Handler:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if request.headers.get("Authorization") != "Bearer good":
                header = f'Bearer realm="{realm}",service="here",scope="repository:app:pull,push"'
                return web.Response(status=401, headers={"WWW-Authenticate": header})
            return await handler(request)

        return answer

    host.routes = {path: asking(handler) for path, handler in host.routes.items()}


def shown(host: Host) -> list[str | None]:
    return [request.headers.get("Authorization") for request in host.requests]


def ring(host: Host) -> Keyring:
    return keyring([secret({host.at: entry("me", "hunter2")})])


GOOD_TOKEN = content(b'{"token": "good"}')


@pytest.mark.parametrize("status", ALL_REDIRECTS)
async def test_a_blob_may_be_elsewhere_and_no_password_goes_there(
    hosts: Hosts, host: Host, registry: Registry, status: int
) -> None:
    elsewhere = await hosts.start("cdn.example", "127.0.1.2")
    signed = "/b%2Fc?sig=a%2Bb%2fc&x=%7e"
    elsewhere.routes["/b/c"] = content(CONFIG)
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect(elsewhere.url(signed), status)
    host.routes = {path: locked(handler) for path, handler in host.routes.items()}
    assert (await registry.config(f"{host.at}/app", ring(host))).entrypoint == ("/app",)
    assert shown(elsewhere) == [None]
    assert elsewhere.requests[0].raw_path == signed
    assert shown(host)[0] is None
    assert len(set(shown(host)[1:])) == 1


async def test_a_password_is_not_shown_again_on_the_way_back(
    hosts: Hosts, host: Host, registry: Registry
) -> None:
    elsewhere = await hosts.start("cdn.example", "127.0.1.2")
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect(elsewhere.url("/there"))
    host.routes = {path: locked(handler) for path, handler in host.routes.items()}
    elsewhere.routes["/there"] = redirect(host.url("/back"))
    host.routes["/back"] = content(CONFIG)
    await registry.config(f"{host.at}/app", ring(host))
    assert host.requests[-1].path == "/back"
    assert shown(host)[-1] is None


async def test_another_port_is_another_place(hosts: Hosts, host: Host, registry: Registry) -> None:
    other = await hosts.start("registry.example")
    assert other.at != host.at
    other.routes["/x"] = content(CONFIG)
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect(other.url("/x"))
    host.routes = {path: locked(handler) for path, handler in host.routes.items()}
    await registry.config(f"{host.at}/app", ring(host))
    assert shown(other) == [None]


async def test_a_place_that_asks_for_a_password_after_a_redirect_gets_none(
    hosts: Hosts, host: Host, registry: Registry
) -> None:
    thief = await hosts.start("thief.example", "127.0.1.2")
    thief.routes["/"] = locked(content(CONFIG))
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect(thief.url("/"))
    with pytest.raises(RegistryDeniedError):
        await registry.config(f"{host.at}/app", ring(host))
    assert shown(thief) == [None]


async def test_a_redirect_within_the_registry_keeps_the_password(
    host: Host, registry: Registry
) -> None:
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect("/storage/x")
    host.routes["/storage/x"] = content(CONFIG)
    host.routes = {path: locked(handler) for path, handler in host.routes.items()}
    assert (await registry.config(f"{host.at}/app", ring(host))).entrypoint == ("/app",)


async def test_a_circle_of_redirects_ends(host: Host, registry: Registry) -> None:
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect("/round")
    host.routes["/round"] = redirect("/round")
    with pytest.raises(RegistryUnsafeError, match="on and on"):
        await registry.config(f"{host.at}/app")
    assert host.paths().count("/round") == 5


@pytest.mark.parametrize(
    "place",
    [
        "",
        "https://",
        "https://user:pass@cdn.example/",
        "ftp://cdn.example/",
        "file:///etc/passwd",
        "https://h:99999/",
        "https://h\\@evil/",
        "https://a b/",
        "/a b",
        "https://ex%61mple/",
        "https://[fe80::1%25eth0]/",
        "//[",
        "/" + "a" * 8000 + "ä",
    ],
)
async def test_a_redirect_to_no_address_is_refused(
    host: Host, registry: Registry, place: str
) -> None:
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect(place)
    with pytest.raises((RegistryAnswerError, RegistryUnreachableError)):
        await registry.config(f"{host.at}/app")


async def test_https_does_not_become_http(hosts: Hosts, host: Host, asking: Asking) -> None:
    plain = await hosts.start("plain.example", "127.0.1.2", tls=False)
    plain.routes["/x"] = content(CONFIG)
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect(plain.url("/x"))
    registry = await asking(insecure_registries=frozenset({plain.at}))
    with pytest.raises(RegistryUnsafeError, match="plain http"):
        await registry.config(f"{host.at}/app")
    assert plain.requests == []


async def test_http_leads_only_to_http_that_is_listed(hosts: Hosts, asking: Asking) -> None:
    plain = await hosts.start("plain.example", tls=False)
    other = await hosts.start("other.example", "127.0.1.2", tls=False)
    other.routes["/x"] = content(CONFIG)
    plain.holds("app", "latest", APP)
    plain.routes[BLOB] = redirect(other.url("/x"))
    alone = await asking(insecure_registries=frozenset({plain.at}))
    with pytest.raises(RegistryUnsafeError, match="plain http"):
        await alone.config(f"{plain.at}/app")
    both = await asking(insecure_registries=frozenset({plain.at, other.at}))
    assert (await both.config(f"{plain.at}/app")).entrypoint == ("/app",)


PLACES = {"public": "127.0.1.7", "private": "127.0.2.7", "local": "127.0.0.1"}
NEARER = [("public", "private"), ("public", "local"), ("private", "local")]
NOT_NEARER = [("public", "public"), ("private", "private"), ("private", "public")]


@pytest.mark.parametrize(("registry_at", "target_at"), NEARER)
@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("means", ["redirect", "realm"])
async def test_a_registry_leads_to_nothing_nearer_than_itself(
    hosts: Hosts, registry: Registry, *, registry_at: str, target_at: str, by_name: bool, means: str
) -> None:
    start = await hosts.start("registry.example", PLACES[registry_at])
    target = await hosts.start("target.example", PLACES[target_at])
    target.routes = {"/x": content(CONFIG), "/token": GOOD_TOKEN}
    port = target.at.split(":")[1]
    base = target.url("") if by_name else f"https://{PLACES[target_at]}:{port}"
    start.holds("app", "latest", APP)
    if means == "redirect":
        start.routes[BLOB] = redirect(f"{base}/x")
    else:
        wants_token(start, f"{base}/token")
    with pytest.raises(RegistryUnsafeError, match="nearer"):
        await registry.config(f"{start.at}/app", ring(start))
    assert target.requests == []


@pytest.mark.parametrize(("registry_at", "target_at"), NOT_NEARER)
async def test_a_registry_leads_to_what_is_as_far_as_itself(
    hosts: Hosts, registry: Registry, registry_at: str, target_at: str
) -> None:
    start = await hosts.start("registry.example", PLACES[registry_at])
    target = await hosts.start("target.example", PLACES[target_at])
    target.routes = {"/x": content(CONFIG), "/token": GOOD_TOKEN}
    start.holds("app", "latest", APP)
    start.routes[BLOB] = redirect(target.url("/x"))
    wants_token(start, target.url("/token"))
    assert (await registry.config(f"{start.at}/app")).entrypoint == ("/app",)


async def test_a_registry_with_a_public_address_too_is_public(
    hosts: Hosts, registry: Registry
) -> None:
    start = await hosts.start("registry.example", PLACES["private"])
    hosts.internet.names["registry.example"].append("127.0.1.99")
    target = await hosts.start("target.example", PLACES["private"])
    start.holds("app", "latest", APP)
    start.routes[BLOB] = redirect(target.url("/x"))
    with pytest.raises(RegistryUnsafeError):
        await registry.config(f"{start.at}/app")


async def test_a_name_with_a_near_and_a_far_address_is_asked_at_the_far_one(
    hosts: Hosts, host: Host, registry: Registry
) -> None:
    target = await hosts.start("target.example", PLACES["public"])
    target.routes["/x"] = content(CONFIG)
    hosts.internet.names["target.example"].insert(0, PLACES["local"])
    host.holds("app", "latest", APP)
    host.routes[BLOB] = redirect(target.url("/x"))
    assert (await registry.config(f"{host.at}/app")).entrypoint == ("/app",)


@pytest.mark.parametrize("image", ["127.0.0.1:{port}/app", "here.example:{port}/app"])
async def test_a_registry_on_this_machine_is_not_asked(
    hosts: Hosts, registry: Registry, image: str
) -> None:
    here = await hosts.start("here.example", "127.0.0.1")
    with pytest.raises(RegistryUnsafeError):
        await registry.config(image.format(port=here.at.split(":")[1]))
    assert here.requests == []


@pytest.mark.parametrize(
    "image",
    ["169.254.169.254/latest/meta-data", "[fe80::1]/a", "0.0.0.0/a", "[::ffff:127.0.0.1]/a"],
)
async def test_the_link_and_odd_addresses_are_not_asked(registry: Registry, image: str) -> None:
    with pytest.raises(RegistryError):
        await registry.config(image)


class Rebinding(Loopback):
    """A name server whose next answer differs, and is always asked again."""

    def __init__(self, clock: Clock, *answers: str) -> None:
        super().__init__()
        self._clock, self._answers = clock, list(answers)

    def zone(self, address: Address) -> Zone:
        self._clock.now += 60
        return super().zone(address)

    async def addresses(self, host: str) -> Sequence[Address]:
        return [ipaddress.ip_address(self._answers.pop(0))]


async def test_a_name_that_turns_into_another_address_is_not_connected_to(
    hosts: Hosts, clock: Clock, trust: ssl.SSLContext
) -> None:
    here = await hosts.start("here.example", "127.0.0.1")
    names = Rebinding(clock, "127.0.1.9", "127.0.0.1", "127.0.0.1")
    async with Registry(internet=names, clock=clock, trust=trust) as it:
        with pytest.raises(RegistryUnreachableError):
            await it.config(f"{here.at}/app")
    assert names._answers == ["127.0.0.1"]
    assert here.requests == []


@pytest.mark.parametrize("with_password", [True, False])
async def test_a_token_is_asked_for_pulling_only(
    hosts: Hosts, host: Host, registry: Registry, with_password: bool
) -> None:
    tokens = await hosts.start("tokens.example", "127.0.1.3")
    tokens.routes["/token"] = GOOD_TOKEN
    host.holds("app", "latest", APP)
    wants_token(host, tokens.url("/token?account=x"))
    await registry.config(f"{host.at}/app", ring(host) if with_password else None)
    (request,) = tokens.requests
    assert request.query.getall("scope") == ["repository:app:pull"]
    assert (request.query["service"], request.query["account"]) == ("here", "x")
    assert (request.headers.get("Authorization") is not None) is with_password
    # One token serves manifest and config.
    assert shown(host) == [None, "Bearer good", "Bearer good"]


@pytest.mark.parametrize("listed", [True, False])
async def test_a_token_server_over_plain_http_is_not_asked_on_the_word_of_https(
    hosts: Hosts, host: Host, asking: Asking, listed: bool
) -> None:
    tokens = await hosts.start("tokens.example", "127.0.1.3", tls=False)
    host.holds("app", "latest", APP)
    wants_token(host, tokens.url("/token"))
    registry = await asking(insecure_registries=frozenset({tokens.at} if listed else ()))
    with pytest.raises(RegistryUnsafeError, match="plain http"):
        await registry.config(f"{host.at}/app", ring(host))
    assert tokens.requests == []


async def test_a_registry_over_plain_http_may_have_such_a_token_server_if_it_is_listed(
    hosts: Hosts, asking: Asking
) -> None:
    plain = await hosts.start("plain.example", tls=False)
    tokens = await hosts.start("tokens.example", "127.0.1.3", tls=False)
    tokens.routes["/token"] = GOOD_TOKEN
    plain.holds("app", "latest", APP)
    wants_token(plain, tokens.url("/token"))
    alone = await asking(insecure_registries=frozenset({plain.at}))
    with pytest.raises(RegistryUnsafeError, match="plain http"):
        await alone.config(f"{plain.at}/app", ring(plain))
    assert tokens.requests == []
    both = await asking(insecure_registries=frozenset({plain.at, tokens.at}))
    assert (await both.config(f"{plain.at}/app", ring(plain))).entrypoint == ("/app",)


async def test_a_token_servers_redirect_takes_no_password_along(
    hosts: Hosts, host: Host, registry: Registry
) -> None:
    tokens = await hosts.start("tokens.example", "127.0.1.3")
    thief = await hosts.start("thief.example", "127.0.1.4")
    tokens.routes["/token"] = redirect(thief.url("/token"))
    thief.routes["/token"] = GOOD_TOKEN
    host.holds("app", "latest", APP)
    wants_token(host, tokens.url("/token"))
    await registry.config(f"{host.at}/app", ring(host))
    assert shown(thief) == [None]


@pytest.mark.parametrize(
    "realm", ["", "/token", "https://", "javascript:1", "https://u:p@tokens.example/", "x" * 5000]
)
async def test_a_realm_that_is_no_address_is_refused(
    host: Host, registry: Registry, realm: str
) -> None:
    host.holds("app", "latest", APP)
    wants_token(host, realm)
    with pytest.raises(RegistryAnswerError):
        await registry.config(f"{host.at}/app")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": ""}',
        b'{"token": 1}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": "a b"}',
        b'{"token": "\\u0000"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
async def test_a_token_that_is_none_is_refused(
    hosts: Hosts, host: Host, registry: Registry, answer: bytes
) -> None:
    host.holds("app", "latest", APP)
    host.routes["/token"] = content(answer)
    wants_token(host, host.url("/token"))
    host.routes["/token"] = content(answer)
    with pytest.raises(RegistryAnswerError, match="without a token"):
        await registry.config(f"{host.at}/app")


async def test_an_access_token_is_a_token(host: Host, registry: Registry) -> None:
    host.holds("app", "latest", APP)
    wants_token(host, host.url("/token"))
    host.routes["/token"] = content(b'{"access_token": "good", "expires_in": "soon"}')
    assert (await registry.config(f"{host.at}/app")).entrypoint == ("/app",)


async def test_a_token_is_fetched_once_for_a_lookup(host: Host, registry: Registry) -> None:
    host.holds("app", "latest", APP)
    wants_token(host, host.url("/token"))
    header = f'Bearer realm="{host.url("/token")}"'
    host.routes |= {"/token": GOOD_TOKEN, BLOB: content(b"", 401, WWW_Authenticate=header)}
    with pytest.raises(RegistryDeniedError):
        await registry.config(f"{host.at}/app")
    assert host.paths().count("/token") == 1


async def test_so_many_credentials_are_tried_and_no_more(host: Host, registry: Registry) -> None:
    host.routes["/v2/app/manifests/latest"] = content(b"", 401, WWW_Authenticate="Basic realm=x")
    many = keyring([secret({host.at: entry(f"user{number}")}) for number in range(20)])
    with pytest.raises(RegistryDeniedError):
        await registry.config(f"{host.at}/app", many)
    assert len({each for each in shown(host) if each}) == 8
