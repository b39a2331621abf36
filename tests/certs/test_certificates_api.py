"""The API server as it is spoken to: requests, answers, errors, watches; over real HTTP."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.client.configuration import Configuration as ClientConfiguration

from certs.cluster import ClusterSecrets, ClusterWebhookConfigurations
from certs.errors import ConflictError, ForbiddenError, RejectedError, UnreachableError
from certs.places import Configuration, Secret

SECRETS = "/api/v1/namespaces/ml/secrets"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any, str]] = []
        self.answer: Answer = self.nothing

    async def nothing(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"items": None, "metadata": {"resourceVersion": "77"}})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(
            (
                request.method,
                request.path,
                dict(request.query),
                json.loads(body) if body else None,
                request.content_type,
            )
        )
        return await self.answer(request)

    def gives(self, value: object, status: int = 200) -> None:
        async def answer(_request: web.Request) -> web.StreamResponse:
            if isinstance(value, str):
                return web.Response(text=value, status=status)
            return web.json_response(value, status=status)

        self.answer = answer


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[ApiClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = ClientConfiguration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    async with ApiClient(settings) as client:
        yield client
    await runner.cleanup()


@pytest.fixture
def secrets(api: ApiClient) -> ClusterSecrets:
    return ClusterSecrets(api, "ml", "tls", labels={"app.kubernetes.io/name": "chrek"})


@pytest.fixture
def configurations(api: ApiClient) -> ClusterWebhookConfigurations:
    return ClusterWebhookConfigurations(api, "chrek.ml")


async def test_one_object_is_listed_by_name_which_is_all_that_its_rights_allow(
    server: Server, secrets: ClusterSecrets
) -> None:
    seen = await secrets.read()
    assert seen.secret is None
    assert seen.since == "77"
    assert server.asked[0][:3] == ("GET", SECRETS, {"fieldSelector": "metadata.name=tls"})


async def test_a_secrets_content_is_decoded(server: Server, secrets: ClusterSecrets) -> None:
    data = {"tls.crt": base64.b64encode(b"\0pem").decode()}
    item = {"metadata": {"name": "tls", "resourceVersion": "5"}, "data": data}
    server.gives({"items": [item], "metadata": {"resourceVersion": "77"}})
    assert (await secrets.read()).secret == Secret({"tls.crt": b"\0pem"}, "5")
    server.gives({"items": [{**item, "data": None}], "metadata": {"resourceVersion": "77"}})
    assert (await secrets.read()).secret == Secret({}, "5")


async def test_a_secret_is_created_with_the_callers_labels(
    server: Server, secrets: ClusterSecrets
) -> None:
    server.gives({}, 201)
    await secrets.create({"tls.crt": b"pem"})
    method, path, _, body, content_type = server.asked[0]
    assert (method, path, content_type) == ("POST", SECRETS, "application/json")
    assert body["metadata"]["labels"] == {"app.kubernetes.io/name": "chrek"}
    assert body["type"] == "Opaque"
    assert body["data"] == {"tls.crt": base64.b64encode(b"pem").decode()}


async def test_only_the_keys_that_change_are_written_and_only_to_the_version_that_was_read(
    server: Server, secrets: ClusterSecrets
) -> None:
    server.gives({})
    await secrets.replace(Secret({"foreign": b"x", "ca.crt": b"old"}, "5"), {"ca.crt": b"new"})
    assert server.asked[0] == (
        "PATCH",
        f"{SECRETS}/tls",
        {},
        {
            "metadata": {"resourceVersion": "5"},
            "data": {"ca.crt": base64.b64encode(b"new").decode()},
        },
        "application/merge-patch+json",
    )


async def test_all_webhooks_of_a_configuration_are_read_and_set(
    server: Server, configurations: ClusterWebhookConfigurations
) -> None:
    bundle = base64.b64encode(b"bundle").decode()
    webhooks = [
        {"name": "a", "clientConfig": {"caBundle": bundle}},
        {"name": "b", "clientConfig": {"service": {}}},
    ]
    item = {"metadata": {"resourceVersion": "9"}, "webhooks": webhooks}
    server.gives({"items": [item], "metadata": {"resourceVersion": "80"}})
    seen = await configurations.read()
    assert seen.configuration == Configuration({"a": b"bundle", "b": b""}, "9")
    await configurations.trust(seen.configuration, b"new")
    method, path, _, body, content_type = server.asked[1]
    assert (method, path) == ("PATCH", f"{CONFIGURATIONS}/chrek.ml")
    assert content_type == "application/strategic-merge-patch+json"
    new = {"caBundle": base64.b64encode(b"new").decode()}
    assert body == {
        "metadata": {"resourceVersion": "9"},
        "webhooks": [{"name": "a", "clientConfig": new}, {"name": "b", "clientConfig": new}],
    }


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (409, ConflictError),
        (404, ConflictError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (422, RejectedError),
        (429, UnreachableError),
        (500, UnreachableError),
        (503, UnreachableError),
    ],
)
async def test_every_refusal_has_its_error_with_what_the_server_said(
    status: int, error: type[Exception], server: Server, secrets: ClusterSecrets
) -> None:
    server.gives({"kind": "Status", "message": "because\nof this"}, status)
    with pytest.raises(error) as caught:
        await secrets.replace(Secret({}, "5"), {"ca.crt": b"x"})
    if status != 404:
        assert "because of this" in str(caught.value)
        assert "Secret ml/tls" in str(caught.value)


@pytest.mark.parametrize(
    "said", ["<html>a proxy</html>", "[]", "null", '{"items": []}', '{"a": 1}']
)
async def test_what_is_no_api_server_is_an_error_and_no_crash(
    said: str, server: Server, secrets: ClusterSecrets
) -> None:
    server.gives(said)
    with pytest.raises((UnreachableError, RejectedError)):
        await secrets.read()


async def test_a_namespace_that_is_missing_is_no_conflict(
    server: Server, secrets: ClusterSecrets
) -> None:
    server.gives({"message": 'namespaces "ml" not found'}, 404)
    with pytest.raises(RejectedError, match="not found"):
        await secrets.create({})


async def test_a_server_that_is_gone_is_unreachable() -> None:
    async with ApiClient(ClientConfiguration(host="http://127.0.0.1:9")) as client:
        with pytest.raises(UnreachableError, match="no answer from the API server"):
            await ClusterSecrets(client, "ml", "tls").read()
        with pytest.raises(UnreachableError):
            await ClusterSecrets(client, "ml", "tls").changed("1")


def watched(*events: bytes, hold: bool = False) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(event)
        if hold:
            await asyncio.sleep(3600)
        return response

    return answer


@pytest.mark.parametrize("size", [1, 3_000_000, 12_000_000])
async def test_a_watch_goes_on_from_what_was_read_and_an_event_of_any_size_ends_it(
    server: Server, secrets: ClusterSecrets, size: int
) -> None:
    event = b'{"type":"MODIFIED","object":{"data":"' + b"x" * size + b'"}}\n'
    server.answer = watched(event, hold=True)
    assert await secrets.changed("77") is True
    query = server.asked[0][2]
    assert query["watch"] == "true"
    assert query["resourceVersion"] == "77"
    assert query["fieldSelector"] == "metadata.name=tls"
    assert int(query["timeoutSeconds"]) <= 60


async def test_a_watch_that_ends_without_an_event_says_so(
    server: Server, secrets: ClusterSecrets
) -> None:
    server.answer = watched()
    assert await secrets.changed("77") is False


async def test_a_version_that_is_gone_in_a_watch_is_a_reason_to_read_again(
    server: Server, secrets: ClusterSecrets
) -> None:
    server.answer = watched(b'{"type":"ERROR","object":{"code":410}}\n')
    assert await secrets.changed("1") is True
    server.gives({"message": "too old"}, 410)
    with pytest.raises(RejectedError, match="too old"):
        await secrets.changed("1")


async def test_a_watch_that_is_no_longer_wanted_leaves_no_connection(
    server: Server, secrets: ClusterSecrets, api: ApiClient
) -> None:
    server.answer = watched(hold=True)
    for _ in range(5):
        watching = asyncio.create_task(secrets.changed("77"))
        await asyncio.sleep(0.05)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
    server.answer = server.nothing
    await secrets.read()
    connector = api.rest_client.pool_manager.connector
    assert connector is not None
    assert len(connector._acquired) == 0  # type: ignore[attr-defined]
