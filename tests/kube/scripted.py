"""An API server on loopback that answers each request as its script says, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes_asyncio.client import ApiClient, Configuration

from chrek.kube.api import JSON, ClusterAPI

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATH = "/api/v1/namespaces/ml/persistentvolumeclaims"
LIMIT_SECONDS = 60
"""Only ends a test that hangs."""


def named(name: str, version: str = "1", **more: Any) -> JSON:
    return {"metadata": {"name": name, "namespace": "ml", "resourceVersion": version}, **more}


def line(kind: str, found: Any) -> bytes:
    """A line of a watch."""
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


def bookmark(version: str) -> bytes:
    return line("BOOKMARK", {"metadata": {"resourceVersion": version}})


def status(code: int, message: str = "as scripted", reason: str = "Scripted") -> JSON:
    told = {"kind": "Status", "apiVersion": "v1", "code": code}
    return {**told, "message": message, "reason": reason}


def listed(*names: str, version: str = "10", more: str = "") -> Step:
    """One page; `more` is the token of the next."""
    metadata = {"resourceVersion": version} | ({"continue": more} if more else {})
    page = {"kind": "List", "metadata": metadata, "items": [named(name) for name in names]}
    return said(200, page)


def said(code: int, body: Any) -> Step:
    """This status with this body, which is JSON unless it is bytes."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def step(_: web.Request) -> web.Response:
        return web.Response(status=code, body=sent, content_type="application/json")

    return step


def refused(code: int) -> Step:
    return said(code, status(code))


def watched(*chunks: bytes, ends: bool = True) -> Step:
    """A watch of these bytes, which the server ends, or keeps open."""

    async def step(request: web.Request) -> web.StreamResponse:
        response = await _sent(request, chunks)
        if not ends:
            await asyncio.Event().wait()
        return response

    return step


def cut(*chunks: bytes) -> Step:
    """A watch whose connection breaks after these bytes."""

    async def step(request: web.Request) -> web.StreamResponse:
        response = await _sent(request, chunks)
        assert request.transport is not None
        await asyncio.sleep(0.01)
        request.transport.abort()
        return response

    return step


async def _sent(request: web.Request, chunks: Iterable[bytes]) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
    return response


@dataclass(frozen=True)
class Written:
    """A request that writes."""

    method: str
    path: str
    content_type: str
    body: Any


@dataclass
class Scripted:
    """steps: one for each request that is to come; after the last, watches stay silent.
    asked: what was requested, path and query. written: those that write."""

    steps: list[Step] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    open: int = 0
    port: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Again on the same port, if it was started before."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        if request.method != "GET":
            body = json.loads(await request.read())
            self.written.append(Written(request.method, request.path, request.content_type, body))
        self.open += 1
        try:
            step = self.steps.pop(0) if self.steps else watched(ends=False)
            return await step(request)
        finally:
            self.open -= 1

    def queries(self, member: str) -> list[str | None]:
        """What each request said of one member of the query."""
        return [query.get(member) for _, query in self.asked]


@asynccontextmanager
async def scripted(*steps: Step) -> AsyncIterator[tuple[Scripted, ClusterAPI]]:
    """A server, and the real client of it."""
    server = Scripted(list(steps))
    await server.start()
    configuration = Configuration(host=f"http://127.0.0.1:{server.port}")
    try:
        async with asyncio.timeout(LIMIT_SECONDS), ApiClient(configuration) as client:
            yield server, ClusterAPI(client)
    finally:
        await server.stop()
