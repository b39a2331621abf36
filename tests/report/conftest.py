"""Each test runs on an API server in memory, and on a real one where that can be had."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.plan import pod
from agent.plan.pod import PodView
from chrek.kube.api import API, JSON
from chrek.pods import wrapping

from . import api_server
from .api_server import APIServer
from .memory import MemoryAPI

REPOSITORY = Path(__file__).resolve().parents[2]
DEFINITION = REPOSITORY / "manifests" / "chrek" / "crds" / "checkpoints.chrek.io.yaml"
LIMIT_SECONDS = 120
"""Only ends a test that hangs."""

CONTAINER = "server"
IDENTITY = "0123456789abcdef"
READY = {"type": "Ready", "status": "True", "reason": "AsItWas", "message": "of the kubelet"}


@dataclass
class Cluster:
    """An API, and a namespace of the test's own."""

    api: API
    namespace: str

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    @property
    def checkpoints(self) -> str:
        return f"/apis/chrek.io/v1alpha1/namespaces/{self.namespace}/checkpoints"

    async def pod(self, name: str = "web-5d8f-x") -> PodView:
        """A new pod that admission took on, with a condition that is not chrek's."""
        await self.api.create(self.pods, written(name, self.namespace))
        status = {"status": {"phase": "Running", "conditions": [READY]}}
        path = f"{self.pods}/{name}/status"
        return pod.parse(await self.api.patch(path, status, kind="strategic"), {})

    async def conditions(self, view: PodView) -> dict[str, JSON]:
        """Of a pod, by type."""
        found = await self.api.get(f"{self.pods}/{view.name}")
        return {each["type"]: each for each in found["status"].get("conditions", [])}

    async def events(self, view: PodView) -> list[JSON]:
        """Of a pod, in the order in which they happened."""
        found = await self.api.get(f"/api/v1/namespaces/{self.namespace}/events")
        own = [each for each in found["items"] if each["involvedObject"]["uid"] == view.uid]
        return sorted(own, key=lambda each: str(each["metadata"]["name"].rpartition(".")[2]))

    async def checkpoint(self, name: str = IDENTITY) -> JSON:
        return await self.api.get(f"{self.checkpoints}/{name}")


def written(name: str, namespace: str) -> JSON:
    """A pod as the webhook leaves it."""
    command = [*wrapping.prefix(60, in_image=False), "/serve"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"chrek.io/role": "source"},
            "annotations": {
                "chrek.io/checkpoint": "auto",
                "chrek.io/checkpoint-id": IDENTITY,
                "chrek.io/identity": IDENTITY,
                "chrek.io/as-written": json.dumps({"container": CONTAINER}),
            },
        },
        "spec": {
            "nodeName": "node-1",
            "terminationGracePeriodSeconds": 0,  # no kubelet is there that would end it
            "containers": [{"name": CONTAINER, "image": "web:1", "command": command}],
        },
    }


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
async def limited() -> AsyncIterator[None]:
    async with asyncio.timeout(LIMIT_SECONDS):
        yield


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[APIServer]:
    """One for all tests, with the definition of Checkpoints."""
    if not api_server.is_there():
        pytest.skip(api_server.MISSING)
    server = APIServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        server.wait()
        asyncio.run(_define(server))
        yield server
    finally:
        server.stop()


@pytest.fixture
async def on_real(real: APIServer) -> AsyncIterator[Cluster]:
    """A cluster that can be killed."""
    async with real.client() as api:
        yield Cluster(api, await _namespace(api))


@pytest.fixture
def in_memory() -> MemoryAPI:
    return MemoryAPI()


@pytest.fixture(params=["in memory", "kube-apiserver"])
def server(request: pytest.FixtureRequest) -> APIServer | None:
    """None: in memory."""
    if request.param == "in memory":
        return None
    found: APIServer = request.getfixturevalue("real")
    return found


@pytest.fixture
async def cluster(server: APIServer | None) -> AsyncIterator[Cluster]:
    if server is None:
        yield Cluster(MemoryAPI(), "ml")
        return
    async with server.client() as api:
        yield Cluster(api, await _namespace(api))


async def until(true: Callable[[], Any]) -> None:
    """Wait for something that other tasks do."""
    while not true():
        await asyncio.sleep(0.01)


async def _namespace(api: API) -> str:
    name = f"ml-{uuid.uuid4().hex[:8]}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await api.create("/api/v1/namespaces", namespace)
    return name


async def _define(server: APIServer) -> None:
    kinds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with server.client() as api:
        await api.create(kinds, yaml.safe_load(DEFINITION.read_text()))
        while True:
            found = await api.get(f"{kinds}/checkpoints.chrek.io")
            conditions = found.get("status", {}).get("conditions") or []
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                return
            await asyncio.sleep(0.05)
