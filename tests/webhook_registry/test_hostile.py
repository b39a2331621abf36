"""Registries that are broken or mean harm: a typed error in time, and little memory."""

import asyncio
import gc
import gzip
import ssl
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from webhook.registry.errors import (
    ImageDamagedError,
    ImageKindError,
    ImageTooLargeError,
    ImageUnknownError,
    RegistryAnswerError,
    RegistryBusyError,
    RegistryDeniedError,
    RegistryError,
    RegistryTimeoutError,
    RegistryUnreachableError,
)
from webhook.registry.lookup import Registry

from . import images
from .certificates import Authority
from .hosts import Handler, Host, Hosts, content, drip, flood, silence
from .images import OCI_MANIFEST, config, digest

Asking = Callable[..., Awaitable[Registry]]

CONFIG = config(["/app"])
APP = images.image(CONFIG)
MANIFEST = "/v2/app/manifests/latest"
BLOB = f"/v2/app/blobs/{digest(CONFIG)}"
SOON = 0.2


@pytest.fixture
def app(host: Host) -> str:
    """An image's name whose registry is about to misbehave."""
    host.holds("app", "latest", APP)
    return f"{host.at}/app"


async def test_a_config_that_is_another_is_damaged(
    host: Host, app: str, registry: Registry
) -> None:
    host.routes[BLOB] = content(config(["/evil"]))
    with pytest.raises(ImageDamagedError, match="config"):
        await registry.config(app)


async def test_a_manifest_that_is_another_than_its_header_says_is_damaged(
    host: Host, app: str, registry: Registry
) -> None:
    host.routes[MANIFEST] = content(APP.content, Docker_Content_Digest=digest(b"other"))
    with pytest.raises(ImageDamagedError, match="manifest"):
        await registry.config(app)


async def test_a_manifest_that_is_another_than_the_pod_names_is_damaged(
    host: Host, app: str, registry: Registry
) -> None:
    named = digest(b"what the pod names")
    host.routes[f"/v2/app/manifests/{named}"] = content(
        APP.content, Docker_Content_Digest=APP.digest
    )
    with pytest.raises(ImageDamagedError):
        await registry.config(f"{app}@{named}")


async def test_a_platforms_manifest_that_is_another_is_damaged(
    host: Host, registry: Registry
) -> None:
    index = images.index((APP, "linux/amd64"))
    host.holds("app", "latest", index)
    host.routes[f"/v2/app/manifests/{APP.digest}"] = content(images.image(config(["/e"])).content)
    with pytest.raises(ImageDamagedError):
        await registry.config(f"{host.at}/app")


async def test_a_header_that_is_no_digest_is_no_answer(
    host: Host, app: str, registry: Registry
) -> None:
    host.routes[MANIFEST] = content(APP.content, Docker_Content_Digest="sha256:../../x")
    with pytest.raises(RegistryAnswerError):
        await registry.config(app)


async def test_a_manifest_without_a_digest_header_has_that_of_its_content(
    host: Host, app: str, registry: Registry
) -> None:
    host.routes[MANIFEST] = content(APP.content)
    assert (await registry.config(app)).digest == APP.digest


async def test_an_index_in_an_index_is_not_followed(host: Host, registry: Registry) -> None:
    inner = images.index((APP, "linux/amd64"))
    host.holds("app", "latest", images.index((inner, None)))
    with pytest.raises(ImageKindError, match="index inside its index"):
        await registry.config(f"{host.at}/app")


@pytest.mark.parametrize(
    ("path", "setting"), [(MANIFEST, "manifest_bytes"), (BLOB, "config_bytes")]
)
@pytest.mark.parametrize("limit", [1000, 1 << 20])
async def test_a_flood_is_cut_off(
    host: Host, app: str, asking: Asking, *, path: str, setting: str, limit: int
) -> None:
    host.routes[path], sent = flood()
    registry = await asking(**{setting: limit}, deadline_seconds=60.0)
    with pytest.raises(ImageTooLargeError):
        await registry.config(app)
    assert sent[0] < limit + (16 << 20)  # what sockets and transports hold


async def test_a_token_flood_is_cut_off(host: Host, app: str, asking: Asking) -> None:
    answer, sent = flood()
    host.routes["/token"] = answer
    header = f'Bearer realm="{host.url("/token")}"'
    host.routes[MANIFEST] = content(b"", 401, WWW_Authenticate=header)
    registry = await asking(token_bytes=1000, deadline_seconds=60.0)
    with pytest.raises(ImageTooLargeError):
        await registry.config(app)
    assert sent[0] < 16 << 20


async def test_a_document_that_says_it_is_large_is_not_read(
    host: Host, app: str, asking: Asking
) -> None:
    async def large(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(1 << 40)})
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    host.routes[BLOB] = large
    registry = await asking(deadline_seconds=60.0)
    with pytest.raises(ImageTooLargeError):
        await registry.config(app)


async def test_a_config_that_its_manifest_calls_large_is_not_asked_for(
    host: Host, app: str, asking: Asking
) -> None:
    registry = await asking(config_bytes=len(CONFIG) - 1)
    with pytest.raises(ImageTooLargeError):
        await registry.config(app)
    assert BLOB not in host.paths()


async def test_large_documents_within_the_bound_are_read(host: Host, registry: Registry) -> None:
    large = config(["/app"], history=[{"comment": "x" * 5_000_000}])
    host.holds("app", "latest", images.image(large))
    assert (await registry.config(f"{host.at}/app")).entrypoint == ("/app",)


async def test_what_failed_keeps_nothing_of_what_was_read(host: Host, registry: Registry) -> None:
    large = images.image(config(["/app"], history=[{"comment": "x" * 1_000_000}]))
    names = [f"image-{number}" for number in range(20)]
    for name in names:
        host.holds(name, "latest", large)
        host.routes[f"/v2/{name}/blobs/{digest(large.blobs[0])}"] = content(large.blobs[0] + b" ")
    tracemalloc.start()
    try:
        for name in names:
            with pytest.raises(ImageDamagedError):
                await registry.config(f"{host.at}/{name}")
        gc.collect()
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 5_000_000


async def test_a_command_too_large_for_a_pod_is_refused(host: Host, registry: Registry) -> None:
    host.holds("app", "latest", images.image(config(["/app", "x" * 100_000])))
    with pytest.raises(ImageTooLargeError, match="ENTRYPOINT"):
        await registry.config(f"{host.at}/app")


@pytest.mark.parametrize("path", [MANIFEST, BLOB])
@pytest.mark.parametrize("handler", [silence, drip(b" ")])
async def test_a_slow_registry_ends_with_the_deadline(
    host: Host, app: str, asking: Asking, path: str, handler: Handler
) -> None:
    host.routes[path] = handler
    registry = await asking(deadline_seconds=SOON)
    with pytest.raises(RegistryTimeoutError) as caught:
        await registry.config(app)
    what = "the manifest" if path == MANIFEST else "the image's config"
    assert f"asking registry.example for {what}" in str(caught.value)


async def test_a_slow_error_page_ends_with_the_deadline(
    host: Host, app: str, asking: Asking
) -> None:
    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=404)
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    host.routes[MANIFEST] = slow
    registry = await asking(deadline_seconds=SOON)
    with pytest.raises(RegistryTimeoutError):
        await registry.config(app)


async def test_a_name_server_that_is_silent_ends_with_the_deadline(
    hosts: Hosts, app: str, asking: Asking
) -> None:
    hosts.internet.silent = True
    registry = await asking(deadline_seconds=SOON)
    with pytest.raises(RegistryTimeoutError):
        await registry.config(app)


async def test_a_large_error_page_is_not_read(host: Host, app: str, registry: Registry) -> None:
    host.routes[MANIFEST] = content(b"x" * (8 << 20), 404)
    with pytest.raises(ImageUnknownError):
        await registry.config(app)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, RegistryDeniedError),
        (404, ImageUnknownError),
        (429, RegistryBusyError),
        (500, RegistryUnreachableError),
        (503, RegistryUnreachableError),
        (204, RegistryAnswerError),
        (206, RegistryAnswerError),
        (304, RegistryAnswerError),
        (400, RegistryAnswerError),
        (418, RegistryAnswerError),
    ],
)
@pytest.mark.parametrize("path", [MANIFEST, BLOB])
async def test_a_status_is_told(
    host: Host, app: str, registry: Registry, *, path: str, status: int, error: type[RegistryError]
) -> None:
    host.routes[path] = content(b"", status)
    with pytest.raises(error) as caught:
        await registry.config(app)
    assert app in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("headers", [{}, {"WWW_Authenticate": "Digest realm=x"}])
async def test_a_challenge_that_cannot_be_met_is_told(
    host: Host, app: str, registry: Registry, headers: dict[str, str]
) -> None:
    host.routes[MANIFEST] = content(b"", 401, **headers)
    with pytest.raises(RegistryAnswerError, match="neither Basic nor Bearer"):
        await registry.config(app)


async def test_a_website_is_no_registry(host: Host, app: str, registry: Registry) -> None:
    host.routes[MANIFEST] = content(b"<html>", Content_Type="text/html")
    with pytest.raises(RegistryAnswerError):
        await registry.config(app)


async def test_packed_content_is_refused(host: Host, app: str, registry: Registry) -> None:
    host.routes[MANIFEST] = content(gzip.compress(APP.content), Content_Encoding="gzip")
    with pytest.raises(RegistryAnswerError, match="packed"):
        await registry.config(app)
    assert host.requests[0].headers["Accept-Encoding"] == "identity"


async def test_a_cookie_is_not_kept(host: Host, app: str, registry: Registry) -> None:
    host.routes[MANIFEST] = content(
        APP.content, Content_Type=OCI_MANIFEST, Set_Cookie="who=you; Path=/"
    )
    await registry.config(app)
    assert all("Cookie" not in request.headers for request in host.requests)


async def raw(answer: bytes, tls: ssl.SSLContext) -> tuple[asyncio.Server, int]:
    """A TLS server that says `answer` to whatever it hears, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.1.8", 0, ssl=tls)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 999999 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 307 x\r\nLocation: \xff\xfe\r\n\r\n",
        b"HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer \xff\r\n\r\n",
    ],
)
async def test_no_http_is_an_error_like_others(
    hosts: Hosts, authority: Authority, registry: Registry, answer: bytes
) -> None:
    hosts.internet.names["raw.example"] = ["127.0.1.8"]
    server, port = await raw(answer, authority.server("raw.example"))
    async with server:
        with pytest.raises(RegistryError):
            await registry.config(f"raw.example:{port}/app")


async def test_a_certificate_of_another_host_is_not_believed(
    hosts: Hosts, authority: Authority, registry: Registry
) -> None:
    other = await hosts.start("mine.example", tls=authority.server("other.example"))
    with pytest.raises(RegistryUnreachableError, match="no certificate to trust"):
        await registry.config(f"{other.at}/app")


async def test_a_certificate_of_another_authority_is_not_believed(
    hosts: Hosts, tmp_path: Any, registry: Registry
) -> None:
    stranger = Authority(tmp_path)
    other = await hosts.start("mine.example", tls=stranger.server("mine.example"))
    with pytest.raises(RegistryUnreachableError, match="no certificate to trust") as caught:
        await registry.config(f"{other.at}/app")
    assert "CA bundle" in caught.value.hint


async def test_a_server_without_tls_is_not_spoken_to(hosts: Hosts, registry: Registry) -> None:
    plain = await hosts.start("plain.example", tls=False)
    with pytest.raises(RegistryUnreachableError):
        await registry.config(f"{plain.at}/app")
    assert plain.requests == []


async def test_nobody_at_home_is_told(hosts: Hosts, registry: Registry) -> None:
    hosts.internet.names["gone.example"] = ["127.0.1.77"]
    with pytest.raises(RegistryUnreachableError, match="cannot be connected to"):
        await registry.config("gone.example:1/app")
    with pytest.raises(RegistryUnreachableError, match=r"nowhere\.example"):
        await registry.config("nowhere.example/app")
