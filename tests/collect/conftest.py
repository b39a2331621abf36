"""Agents' collectors on a real API server; a node's containers are made up, its volumes real."""

import asyncio
import functools
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from agent.act.collect.collector import Collector, Settings
from agent.act.collect.patience import Grace
from agent.act.node import Limits, Node
from agent.act.report.checkpoints import CheckpointWriter
from agent.act.report.reporter import Reporter
from agent.claims.attach import attached
from agent.engine.means import Means
from agent.metrics import Metrics
from agent.runtime.cri.client import CRI
from agent.runtime.cri.model import Container, ContainerID, MountPoint, Status
from agent.watch.containers import Containers
from agent.watch.memory import Memory
from chrek.kube.api import API, JSON
from chrek.pods import names

from ..report.api_server import APIServer
from ..report.conftest import limited, no_proxy, real, written

__all__ = ["limited", "no_proxy", "real"]

CLAIM = names.DEFAULT_CLAIM
ID = "0123456789abcdef"
VARIANT = "a" * 16
SOON = Grace(near=(0, 0.1), far=(0.3, 0.4), cleaner=(0.6, 0.8), retry=(0.3, 0.5))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if os.geteuid() != 0 and item.path.parent == here:
            item.add_marker(pytest.mark.skip(reason="needs root for mounts"))


class Runtime:
    """The containers of a node, each with what is mounted at /checkpoints in it."""

    def __init__(self) -> None:
        self.known: dict[str, Status] = {}

    def add(self, pod: JSON, name: str, state: str, claim: Path | None) -> None:
        metadata = pod["metadata"]
        identifier = ContainerID(f"{metadata['uid']}-{name}")
        container = Container(
            id=identifier,
            sandbox="",
            pod_uid=metadata["uid"],
            pod_name=metadata["name"],
            namespace=metadata["namespace"],
            name=name,
            attempt=0,
            state=cast(Any, state),
            created_ns=0,
        )
        mounts = (MountPoint(names.CLAIM_PATH, str(claim), read_only=True),) if claim else ()
        self.known[identifier] = Status(container, None, 0, "", "", mounts)

    async def containers(self) -> list[Container]:
        return [each.container for each in self.known.values()]

    async def status(self, identifier: str) -> Status:
        return self.known[identifier]


@dataclass
class Agent:
    """What collects on one node."""

    name: str
    runtime: Runtime
    collector: Collector
    metrics: Metrics


@dataclass
class World:
    """A namespace, the directory that is its claim, and agents."""

    api: API
    namespace: str
    claim: Path
    below: Path

    @property
    def checkpoints(self) -> str:
        return f"/apis/chrek.io/v1alpha1/namespaces/{self.namespace}/checkpoints"

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    @property
    def claims(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"

    def stored(self, name: str = ID, variant: str = VARIANT) -> Path:
        """The directory of a variant on the claim, made if need be."""
        place = self.claim / self.namespace / name / variant
        if not place.exists():
            (place / "criu").mkdir(parents=True)
            (place / "criu" / "pages-1.img").write_bytes(os.urandom(100_000))
            (place / "manifest.json").write_text("{}")
        return place

    async def checkpoint(
        self,
        name: str = ID,
        *variants: str,
        spec: JSON | None = None,
        finalizers: tuple[str, ...] = ("chrek.io/data",),
        **status: Any,
    ) -> JSON:
        """A Checkpoint whose variants are stored."""
        body = {
            "apiVersion": "chrek.io/v1alpha1",
            "kind": "Checkpoint",
            "metadata": {
                "name": name,
                "finalizers": list(finalizers),
                "annotations": {"chrek.io/workload": "Deployment/web"},
            },
            "spec": {"claim": CLAIM, **(spec or {})},
        }
        await self.api.create(self.checkpoints, body)
        listed = [
            {"name": each, "phase": "Ready", "createdAt": f"2026-01-0{number}T00:00:00Z"}
            for number, each in enumerate(variants, 1)
        ]
        for each in variants:
            self.stored(name, each)
        shown = {"phase": "Ready" if variants else "Pending", "variants": listed, **status}
        return await self.status(name, shown)

    async def status(self, name: str, status: JSON) -> JSON:
        return await self.api.patch(f"{self.checkpoints}/{name}/status", {"status": status})

    async def delete(self, name: str = ID) -> None:
        await self.api.delete(f"{self.checkpoints}/{name}")

    async def is_gone(self, name: str = ID) -> bool:
        found = await self.api.get(self.checkpoints)
        return all(each["metadata"]["name"] != name for each in found["items"])

    async def pod(self, agent: Agent, name: str = "web-1") -> JSON:
        """A pod that admission took on, and that runs on an agent's node."""
        body = written(name, self.namespace)
        body["spec"]["nodeName"] = agent.name
        body["spec"]["initContainers"] = [{"name": names.INIT_CONTAINER, "image": "init:1"}]
        source = {"persistentVolumeClaim": {"claimName": CLAIM}}
        body["spec"]["volumes"] = [{"name": names.CLAIM_VOLUME, **source}]
        pod = await self.api.create(self.pods, body)
        agent.runtime.add(pod, names.INIT_CONTAINER, "exited", self.claim)
        agent.runtime.add(pod, "server", "running", None)
        return pod

    async def end(self, agent: Agent, pod: JSON) -> None:
        """The pod's containers have ended, whatever the API server says of it still."""
        agent.runtime.add(pod, "server", "exited", None)

    async def bind(self) -> None:
        """A claim that has a volume."""
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": "a-volume",
            },
        }
        await self.api.create(self.claims, body)
        bound = {"status": {"phase": "Bound"}}
        await self.api.patch(f"{self.claims}/{CLAIM}/status", bound)

    async def cleaners(self) -> list[JSON]:
        found = await self.api.get(self.pods)
        return [e for e in found["items"] if e["metadata"]["name"].startswith("chrek-cleaner-")]

    async def run_cleaner(self, agent: Agent) -> JSON:
        """What scheduler and kubelet do with the one that there is."""
        [pod] = await self.cleaners()
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": agent.name}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}}
        await self.api.create(f"{self.pods}/{name}/binding", {**binding, "target": target})
        running = {"status": {"phase": "Running"}}
        pod = await self.api.patch(f"{self.pods}/{name}/status", running, kind="strategic")
        agent.runtime.add(pod, "cleaner", "running", self.claim)
        return pod

    async def events(self) -> list[tuple[str, str]]:
        """Reasons and messages of what is said of Checkpoints."""
        found = await self.api.get(f"/api/v1/namespaces/{self.namespace}/events")
        listed = [e for e in found["items"] if e["involvedObject"]["kind"] == "Checkpoint"]
        return [(each["reason"], each["message"]) for each in listed]

    async def has_event(self, reason: str) -> bool:
        return any(found == reason for found, _ in await self.events())

    @asynccontextmanager
    async def agent(
        self, name: str = "node-1", *, keep: int = 2, claim_bytes: int = 0
    ) -> AsyncIterator[Agent]:
        """An agent at work on a node of its own."""
        ready: asyncio.Future[Agent] = asyncio.get_running_loop().create_future()
        limits = Limits(2, 1, 0.0, keep, claim_bytes)
        working = asyncio.create_task(self._work(name, limits, ready))
        await asyncio.wait([working, ready], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
        try:
            yield await ready
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def _work(self, name: str, limits: Limits, ready: asyncio.Future[Agent]) -> None:
        runtime, metrics = Runtime(), Metrics()
        async with asyncio.TaskGroup() as group:
            memory = Memory(lambda _: collector.note_pods(), lambda key: collector.wake(key))  # noqa: PLW0108
            containers = Containers(runtime, lambda: True, lambda _: collector.note_pods())
            node = Node(
                name=name,
                memory=memory,
                containers=containers,
                cri=cast(CRI, runtime),
                reporter=Reporter(self.api, name),
                writer=CheckpointWriter(self.api),
                means=cast(Means, None),
                metrics=metrics,
                limits=limits,
                group=group,
            )
            settings = Settings("init:1", "chrek-system", deleted=SOON, surplus=SOON)
            attach = functools.partial(attached, below=self.below, host_pid=os.getpid())
            collector = Collector(node, self.api, settings, attach=attach)
            watches = memory.watches(self.api, name, "")
            for watch in watches:
                group.create_task(watch.run())
            for watch in watches:
                await watch.health.listed.wait()
            group.create_task(containers.run())
            group.create_task(collector.run(group))
            ready.set_result(Agent(name, runtime, collector, metrics))


async def until(true: Callable[[], Awaitable[object]]) -> None:
    """Wait for what agents do; the limit of a test ends it."""
    while not await true():
        await asyncio.sleep(0.05)


@pytest.fixture
async def world(real: APIServer, tmp_path: Path) -> AsyncIterator[World]:
    claim, below = tmp_path / "claim", tmp_path / "attached"
    claim.mkdir()
    async with real.client() as api:
        name = f"ml-{uuid.uuid4().hex[:8]}"
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await api.create("/api/v1/namespaces", namespace)
        yield World(api, name, claim, below)
        found = await api.get(f"/apis/chrek.io/v1alpha1/namespaces/{name}/checkpoints")
        for each in found["items"]:  # or they would be there for the next test's agents
            path = (
                f"/apis/chrek.io/v1alpha1/namespaces/{name}/checkpoints/{each['metadata']['name']}"
            )
            await api.patch(path, {"metadata": {"finalizers": None}})
            await api.delete(path)
    assert not below.exists() or not list(below.iterdir())
    assert str(below) not in Path("/proc/self/mountinfo").read_text()
