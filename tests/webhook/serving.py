"""The real server on loopback, and clients of it, polite and otherwise."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from webhook.admit import Admission, NoImages
from webhook.server.app import State, admission_app, runner
from webhook.server.metrics import Metrics

from .asking import FakeCluster, FakeImages
from .worlds import OPTIONS

LIMIT_SECONDS = 60
"""Only ends a test that hangs."""


@dataclass
class Served:
    port: int
    state: State
    metrics: Metrics
    session: aiohttp.ClientSession
    problems: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def post(self, body: Any, **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer to a body, which is JSON unless it is bytes."""
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        async with self.session.post(self.url("/mutate"), data=data, **more) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url(path)) as answer:
            return answer.status, await answer.text()

    @asynccontextmanager
    async def connection(
        self, sent: bytes
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection on which these bytes have been sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            await writer.drain()
            yield reader, writer
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def raw(self, sent: bytes) -> bytes:
        """All that is answered until the server closes the connection."""
        async with self.connection(sent) as (reader, _):
            return await reader.read()


@asynccontextmanager
async def serving(
    cluster: FakeCluster | None = None, images: FakeImages | None = None
) -> AsyncIterator[Served]:
    """A server of its own, for a cluster of which all is known."""
    admission = Admission(cluster or FakeCluster(), images or NoImages(), OPTIONS)
    problems: list[str] = []
    state, metrics = State(lambda: problems), Metrics()
    served = runner(admission_app(admission, state, metrics), shutdown_seconds=0.1)
    await served.setup()
    try:
        await web.TCPSite(served, "127.0.0.1", 0).start()
        port = served.addresses[0][1]
        async with (
            asyncio.timeout(LIMIT_SECONDS),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            yield Served(port, state, metrics, session, problems)
    finally:
        await served.cleanup()


def head(length: int, *lines: str) -> bytes:
    """The head of a request with a body of this length, or in chunks for a negative one."""
    how = f"Content-Length: {length}" if length >= 0 else "Transfer-Encoding: chunked"
    return "\r\n".join(["POST /mutate HTTP/1.1", "Host: x", how, *lines, "", ""]).encode()
