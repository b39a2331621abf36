"""A small internet on loopback: hosts with names, addresses and zones, and what they answer.

127.0.1.x stands for the internet, 127.0.2.x for private networks, all other addresses for this
machine and its link.
"""

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from aiohttp import web

from webhook.registry.addresses import Address, Zone

from .certificates import Authority
from .images import Stored, digest

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_ZONES = {"127.0.1.": Zone.PUBLIC, "127.0.2.": Zone.PRIVATE}


class Loopback:
    """An Internet whose names are those of the test."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.silent = False

    def zone(self, address: Address) -> Zone:
        return _ZONES.get(str(address)[:8], Zone.LOCAL)

    async def addresses(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        if self.silent:
            await asyncio.Event().wait()
        if host not in self.names:
            raise OSError("no such host")
        return [ipaddress.ip_address(text) for text in self.names[host]]


@dataclass
class Host:
    """A server: `at` is its name and port as an image's name has them."""

    at: str
    scheme: str
    routes: dict[str, Handler] = field(default_factory=dict)
    requests: list[web.BaseRequest] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{self.scheme}://{self.at}{path}"

    def paths(self, method: str = "GET") -> list[str]:
        return [request.path for request in self.requests if request.method == method]

    def holds(self, repository: str, tag: str, stored: Stored) -> None:
        """Serve an image as a registry does."""
        self.routes[f"/v2/{repository}/manifests/{tag}"] = manifest(stored)
        self.routes[f"/v2/{repository}/manifests/{stored.digest}"] = manifest(stored)
        for blob in stored.blobs:
            self.routes[f"/v2/{repository}/blobs/{digest(blob)}"] = content(blob)
        for inner in stored.inner:
            self.holds(repository, inner.digest, inner)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        route = self.routes.get(request.path)
        return await route(request) if route else web.Response(status=404)


class Hosts:
    """Starts hosts; they end with the stack."""

    def __init__(self, stack: AsyncExitStack, authority: Authority) -> None:
        self.internet = Loopback()
        self._stack = stack
        self._authority = authority

    async def start(
        self, name: str, address: str = "127.0.1.1", *, tls: ssl.SSLContext | bool = True
    ) -> Host:
        """A host `name` at `address`; over https unless `tls` is False."""
        context = self._authority.server(name) if tls is True else tls or None
        host = Host("", "https" if context else "http")
        server = web.Server(host.answer, handler_cancellation=True)
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, address, 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        host.at = f"{name}:{port}"
        self.internet.names[name] = [address]
        return host


def content(body: bytes, status: int = 200, **headers: str) -> Handler:
    """Answers with `body`; a header's _ is written -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=named)

    return answer


def manifest(stored: Stored) -> Handler:
    return content(
        stored.content, Content_Type=stored.media_type, Docker_Content_Digest=stored.digest
    )


def redirect(place: str, status: int = 307) -> Handler:
    return content(b"", status, Location=place)


async def silence(_: web.BaseRequest) -> web.StreamResponse:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError


def drip(piece: bytes, seconds: float = 0.01) -> Handler:
    """A body that never ends, a little at a time."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while _heard(request):
            await response.write(piece)
            await asyncio.sleep(seconds)
        return response

    return answer


def flood(most_bytes: int = 1 << 30) -> tuple[Handler, list[int]]:
    """A body without a length, as fast as it is read; and how many bytes were sent."""
    sent = [0]

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while sent[0] < most_bytes and _heard(request):
            await response.write(b" " * 65536)
            sent[0] += 65536
            await asyncio.sleep(0)
        return response

    return answer, sent


def _heard(request: web.BaseRequest) -> bool:
    return request.transport is not None and not request.transport.is_closing()
