"""An API server on loopback with one Secret, over real HTTP: reads, and writes that name the
version that they were read at."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes_asyncio.client import ApiClient, Configuration

from chrek.kube.api import ClusterAPI

NAMESPACE, NAME = "chrek", "chrek-signing"
_PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}"


@dataclass
class Secrets:
    """data: of the one Secret, or None where there is none. writes: how many were accepted."""

    data: dict[str, bytes] | None = field(default_factory=dict)
    version: int = 1
    writes: int = 0
    reads: int = 0
    down: bool = False

    def edit(self, **changed: bytes | None) -> None:
        """As a person would: trusted_old_pem=b"..."; None takes a key away."""
        assert self.data is not None
        for key, value in changed.items():
            name = key.removesuffix("_pem").replace("_", "-") + ".pem"
            if value is None:
                del self.data[name]
            else:
                self.data[name] = value
        self.version += 1

    async def answer(self, request: web.Request) -> web.Response:
        if self.down:
            return _status(503, "down")
        if request.path != _PATH or self.data is None:
            return _status(404, "not found")
        if request.method == "PUT":
            body: dict[str, Any] = json.loads(await request.read())
            if body["metadata"]["resourceVersion"] != str(self.version):
                return _status(409, "the object has been modified")
            assert body["metadata"]["labels"] == {"app": "chrek"}, "what was there stays"
            self.data = {key: base64.b64decode(value) for key, value in body["data"].items()}
            self.version += 1
            self.writes += 1
        else:
            self.reads += 1
        return web.json_response(self._object())

    def _object(self) -> dict[str, Any]:
        assert self.data is not None
        found: dict[str, Any] = {
            "kind": "Secret",
            "metadata": {
                "name": NAME,
                "labels": {"app": "chrek"},
                "resourceVersion": str(self.version),
            },
            "type": "Opaque",
        }
        if self.data:  # the API server leaves out an empty one
            found["data"] = {k: base64.b64encode(v).decode() for k, v in self.data.items()}
        return found


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


@asynccontextmanager
async def serving(secrets: Secrets) -> AsyncIterator[ClusterAPI]:
    """A client of it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", secrets.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        async with ApiClient(configuration) as client:
            yield ClusterAPI(client)
    finally:
        await runner.cleanup()
