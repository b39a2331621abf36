"""Lookups in Debian's docker-registry: open, with a password, and with tokens."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from webhook.registry.credentials import Keyring, keyring
from webhook.registry.errors import (
    ImagePlatformsError,
    ImageUnknownError,
    RegistryDeniedError,
    RegistryUnsafeError,
)
from webhook.registry.lookup import Registry

from . import distribution, images
from .certificates import Authority, claims
from .conftest import needs_distribution
from .distribution import PASSWORD, USER
from .distribution import Registry as Distribution
from .hosts import Host, Hosts
from .images import config
from .test_pull_secrets import entry, secret

pytestmark = needs_distribution

Asking = Callable[..., Awaitable[Registry]]

APP = images.image(config(["/app", "--port", "8"], ["serve"]))


def basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def ring(host: str, *entries: tuple[str, str]) -> Keyring:
    return keyring([secret({host: entry(user, password)}) for user, password in entries])


@pytest.fixture
async def local(distribution_open: Distribution, asking: Asking) -> Registry:
    return await asking(insecure_registries=frozenset({distribution_open.host}))


@pytest.mark.parametrize("docker", [False, True])
async def test_an_image_of_either_kind_is_read(
    distribution_open: Distribution, local: Registry, docker: bool
) -> None:
    stored = images.image(config(["/app"], ["a", "b"]), docker=docker)
    name = f"one-{docker}".lower()
    await distribution.push(distribution_open.host, f"team/{name}", "v1", stored)
    found = await local.config(f"{distribution_open.host}/team/{name}:v1")
    assert (found.entrypoint, found.cmd) == (("/app",), ("a", "b"))
    assert found.digest == stored.digest


@pytest.mark.parametrize("docker", [False, True])
async def test_an_index_whose_platforms_agree_is_read(
    distribution_open: Distribution, local: Registry, docker: bool
) -> None:
    stored = images.index(
        (images.image(config(["/app"]), docker=docker), "linux/amd64"),
        (images.image(config(["/app"], architecture="arm64"), docker=docker), "linux/arm64"),
        (images.image(config(["/other"], architecture="s390x"), docker=docker), "linux/s390x"),
        docker=docker,
    )
    name = f"{distribution_open.host}/many-{docker}".lower()
    await distribution.push(distribution_open.host, f"many-{docker}".lower(), "latest", stored)
    for image in (name, f"{name}:latest", f"{name}@{stored.digest}", f"{name}:x@{stored.digest}"):
        found = await local.config(image)
        assert (found.entrypoint, found.cmd, found.digest) == (("/app",), (), stored.digest)


async def test_an_index_whose_platforms_disagree_is_refused(
    distribution_open: Distribution, asking: Asking
) -> None:
    stored = images.index(
        (images.image(config(["/amd"])), "linux/amd64"),
        (images.image(config(["/arm"], architecture="arm64")), "linux/arm64"),
    )
    host = distribution_open.host
    await distribution.push(host, "split", "latest", stored)
    both = await asking(insecure_registries=frozenset({host}))
    with pytest.raises(ImagePlatformsError):
        await both.config(f"{host}/split")
    only = await asking(insecure_registries=frozenset({host}), architectures=("arm64",))
    assert (await only.config(f"{host}/split")).entrypoint == ("/arm",)
    found = await both.config(f"{host}/split@{stored.inner[0].digest}")
    assert found.entrypoint == ("/amd",)


async def test_an_image_that_is_not_there_is_unknown(
    distribution_open: Distribution, local: Registry
) -> None:
    host = distribution_open.host
    await distribution.push(host, "there", "v1", APP)
    for image in (f"{host}/there:v2", f"{host}/not/there", f"{host}/there@sha256:{'0' * 64}"):
        with pytest.raises(ImageUnknownError) as caught:
            await local.config(image)
        assert image in str(caught.value)


async def test_plain_http_is_not_spoken_unasked(
    distribution_open: Distribution, registry: Registry
) -> None:
    with pytest.raises(RegistryUnsafeError):
        await registry.config(f"{distribution_open.host}/there:v1")


@pytest.fixture
async def private(distribution_basic: Distribution) -> str:
    """Host of the registry that wants a password, with an image."""
    host = distribution_basic.host
    await distribution.push(host, "secret/app", "latest", APP, basic(USER, PASSWORD))
    return host


async def test_a_password_from_a_pull_secret_is_shown(private: str, asking: Asking) -> None:
    registry = await asking(insecure_registries=frozenset({private}))
    found = await registry.config(f"{private}/secret/app", ring(private, (USER, PASSWORD)))
    assert found.entrypoint == ("/app", "--port", "8")


async def test_each_credential_is_tried(private: str, asking: Asking) -> None:
    registry = await asking(insecure_registries=frozenset({private}))
    credentials = ring(private, ("old", "expired"), (USER, PASSWORD))
    assert (await registry.config(f"{private}/secret/app", credentials)).cmd == ("serve",)


async def test_without_a_password_the_message_asks_for_a_pull_secret(
    private: str, asking: Asking
) -> None:
    registry = await asking(insecure_registries=frozenset({private}))
    with pytest.raises(RegistryDeniedError, match="imagePullSecrets"):
        await registry.config(f"{private}/secret/app")


async def test_a_wrong_password_is_refused_and_said_nowhere(private: str, asking: Asking) -> None:
    registry = await asking(insecure_registries=frozenset({private}))
    with pytest.raises(RegistryDeniedError) as caught:
        await registry.config(f"{private}/secret/app", ring(private, ("robot", "hunter2")))
    assert "hunter2" not in str(caught.value)
    assert "robot" not in str(caught.value)


async def test_what_one_pod_may_see_another_must_ask_for(private: str, asking: Asking) -> None:
    registry = await asking(insecure_registries=frozenset({private}))
    image = f"{private}/secret/app"
    found = await registry.config(image, ring(private, (USER, PASSWORD)))
    for name in (image, f"{image}@{found.digest}"):
        with pytest.raises(RegistryDeniedError):
            await registry.config(name)
        with pytest.raises(RegistryDeniedError):
            await registry.config(name, ring(private, (USER, "guess")))


@dataclass
class TokenServer:
    """Gives USER a token for pulling `open/...` and `secret/...`, others for `open/...` only."""

    host: Host
    signer: Authority
    asked: list[tuple[str | None, list[str]]] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        shown = request.headers.get("Authorization")
        self.asked.append((shown, request.query.getall("scope")))
        known = shown == basic(USER, PASSWORD)["Authorization"]
        if shown and not known:
            return web.Response(status=401)
        _, repository, _ = request.query["scope"].split(":")
        may = known or repository.startswith("open/")
        subject = USER if known else ""
        service = request.query["service"]
        token = self.signer.token(claims("tests", service, subject, repository if may else None))
        return web.Response(body=json.dumps({"token": token, "expires_in": 300}))


@dataclass
class WithTokens:
    distribution: Distribution
    tokens: TokenServer
    registry: Registry


@pytest.fixture
async def with_tokens(
    hosts: Hosts, authority: Authority, asking: Asking, tmp_path: Path
) -> AsyncIterator[WithTokens]:
    """docker-registry that believes in tokens of a server that is on this machine, by https."""
    signer = Authority(tmp_path, "signer")
    server = TokenServer(await hosts.start("tokens.example", "127.0.0.1"), signer)
    server.host.routes["/token"] = server.answer
    root = tmp_path / "registry"
    # Pushing is not what is tested: the images are in the storage when authentication begins.
    with distribution.running(root) as started:
        for repository in ("open/app", "secret/app"):
            await distribution.push(started.host, repository, "latest", APP)
    realm = server.host.url("/token")
    auth = (
        f"auth: {{token: {{realm: '{realm}', service: here, issuer: tests, "
        f"rootcertbundle: {signer.bundle}}}}}"
    )
    with distribution.running(root, auth) as started:
        registry = await asking(insecure_registries=frozenset({started.host}))
        yield WithTokens(started, server, registry)


async def test_a_token_is_fetched_without_a_password(with_tokens: WithTokens) -> None:
    host = with_tokens.distribution.host
    found = await with_tokens.registry.config(f"{host}/open/app")
    assert found.entrypoint == ("/app", "--port", "8")
    assert with_tokens.tokens.asked == [(None, ["repository:open/app:pull"])]


async def test_a_token_is_fetched_with_a_pull_secret(with_tokens: WithTokens) -> None:
    host = with_tokens.distribution.host
    found = await with_tokens.registry.config(f"{host}/secret/app", ring(host, (USER, PASSWORD)))
    assert found.digest == APP.digest
    shown = basic(USER, PASSWORD)["Authorization"]
    assert with_tokens.tokens.asked == [(shown, ["repository:secret/app:pull"])]


async def test_a_token_that_allows_nothing_is_a_denial(with_tokens: WithTokens) -> None:
    with pytest.raises(RegistryDeniedError, match="imagePullSecrets"):
        await with_tokens.registry.config(f"{with_tokens.distribution.host}/secret/app")


async def test_a_token_server_that_refuses_the_password_is_a_denial(
    with_tokens: WithTokens,
) -> None:
    host = with_tokens.distribution.host
    with pytest.raises(RegistryDeniedError, match=r"tokens\.example refuses"):
        await with_tokens.registry.config(f"{host}/secret/app", ring(host, (USER, "wrong")))
