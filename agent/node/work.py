"""The part of the agent that captures and restores: it connects, then watches and acts."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.act.collect.collector import Collector
from agent.act.collect.collector import Settings as CollectorSettings
from agent.act.node import Limits, Node
from agent.act.pods import Pods
from agent.act.report.checkpoints import CheckpointWriter
from agent.act.report.reporter import Reporter
from agent.act.sweeping import Sweeper
from agent.criu import bundle
from agent.cuda import known
from agent.cuda.podresources.kubelet import device_ids
from agent.engine import operations
from agent.engine.means import Means
from agent.kernel import locks
from agent.metrics import Metrics
from agent.node.flags import Flags
from agent.node.status import Status
from agent.runtime.cri import client
from agent.runtime.cri.client import CRI
from agent.settings import Settings, from_environment
from agent.store.nodecache import NodeCache
from agent.trust import decoded
from agent.trust.secret import of_secret
from agent.watch.containers import Containers
from agent.watch.memory import Memory
from agent.watch.workers import Workers
from chrek.errors import ChrekError, StorageError
from chrek.kube.api import API, ClusterAPI, connected
from chrek.kube.listwatch import ListWatch
from chrek.logs import event

_log = logging.getLogger("chrek.agent")

ROOT: Final = Path("/var/lib/chrek")
"""The node's own directory of this installation."""

_SHOWN: Final = "CHREK_STATE_ON_NODE"
"""The same directory as the node has it; the chart says it."""
_RETRY_SECONDS: Final = 2.0
_LOCK_POLL_SECONDS: Final = 0.2
_LAST_REPORTS_SECONDS: Final = 2.0


async def work(asked: Flags, status: Status, metrics: Metrics) -> None:
    """Until cancelled. What cannot be reached is tried again, and said by the status."""
    while True:
        try:
            await _once(asked, status, metrics)
        except ChrekError as error:
            if status.work_problem != str(error):
                event(_log, logging.WARNING, error.reason, problem=error)
            status.work_problem = str(error)
        await asyncio.sleep(_RETRY_SECONDS)


async def _once(asked: Flags, status: Status, metrics: Metrics) -> None:
    async with (
        connected() as kubernetes,
        client.connected(asked.cri_socket) as cri,
    ):
        api = ClusterAPI(kubernetes)
        keyring = await of_secret(api, asked.release_namespace, asked.signing_secret)
        settings = _settings(asked)
        async with _alone(settings, status):
            for record in await operations.tidy(settings):
                event(_log, logging.WARNING, "cleaned up", kind=record.kind, container=record.name)
            driver = known.driver_version() or "none: programs without a GPU only"
            event(_log, logging.INFO, "GPU driver", version=driver)
            criu = bundle.find()
            await asyncio.to_thread(decoded.load, criu)  # or the first restore would wait for it
            reporter = Reporter(api, asked.node_name)
            cache = await asyncio.to_thread(_cache, asked)
            async with Means(criu, settings, keyring, device_ids=device_ids, cache=cache) as means:
                try:
                    await _watch(_World(asked, api, cri, means, metrics, reporter), status)
                finally:
                    await asyncio.shield(reporter.drain(_LAST_REPORTS_SECONDS))


@dataclass(frozen=True, slots=True)
class _World:
    asked: Flags
    api: API
    cri: CRI
    means: Means
    metrics: Metrics
    reporter: Reporter


async def _watch(world: _World, status: Status) -> None:
    asked = world.asked
    world.metrics.cache = world.means.cache
    async with asyncio.TaskGroup() as group:
        parts = _Parts(world, group)
        watches = parts.memory.watches(world.api, asked.node_name, asked.watch_namespace)
        world.metrics.watches = watches
        group.create_task(world.reporter.run())
        for watch in watches:
            group.create_task(watch.run())
        await _listed(watches, status)
        group.create_task(parts.containers.run())
        group.create_task(parts.collector.run(group))
        group.create_task(parts.sweeper.run())
        event(_log, logging.INFO, "at work", runtime=world.cri.runtime_name)
        while True:
            status.work_problem = parts.containers.problem
            await asyncio.sleep(1.0)


async def _listed(watches: list[ListWatch], status: Status) -> None:
    """Until everything is known: what is decided before would be decided wrongly."""
    while missing := [watch for watch in watches if not watch.health.listed.is_set()]:
        health = missing[0].health
        status.work_problem = health.problem or f"{missing[0].path} is not listed yet"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS):
                await health.listed.wait()


class _Parts:
    """Memory, containers and workers, each of which tells the next."""

    def __init__(self, world: _World, group: asyncio.TaskGroup) -> None:
        asked = world.asked
        self.memory = Memory(self._woken, self._swept, asked.sandboxed)
        self.containers = Containers(world.cri, self._expecting, self._woken)
        node = Node(
            name=asked.node_name,
            memory=self.memory,
            containers=self.containers,
            cri=world.cri,
            reporter=world.reporter,
            writer=CheckpointWriter(world.api),
            means=world.means,
            metrics=world.metrics,
            limits=Limits(
                restores=asked.work.restores,
                captures=asked.work.captures,
                idle_wait_seconds=asked.work.idle_wait_seconds,
                keep=asked.retention.keep,
                claim_bytes=asked.retention.claim_bytes,
            ),
            group=group,
        )
        self._pods = Pods(node)
        self.collector = Collector(
            node,
            world.api,
            CollectorSettings(
                init_image=asked.retention.init_image, release_namespace=asked.release_namespace
            ),
        )
        self.sweeper = Sweeper(node)
        node.want_room = self.collector.want_room
        self._workers = Workers(self._pods.handle, group)

    def _woken(self, uid: str) -> None:
        self._pods.note(uid)
        self._workers.wake(uid)
        self.collector.note_pods()

    def _expecting(self) -> bool:
        return self._pods.expecting()

    def _swept(self, key: tuple[str, str]) -> None:
        self.collector.wake(key)
        self.sweeper.wake()


@contextlib.asynccontextmanager
async def _alone(settings: Settings, status: Status) -> AsyncIterator[None]:
    """One agent of an installation works on a node, also while a DaemonSet is rolled over."""
    settings.root.mkdir(parents=True, exist_ok=True)
    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locks.alone(settings.root / "agent.lock"))
            except BlockingIOError:
                status.work_problem = "another agent of this installation is at work on this node"
            else:
                yield
                return
        await asyncio.sleep(_LOCK_POLL_SECONDS)


def _cache(asked: Flags) -> NodeCache | None:
    """Without the half-done things of agents that are gone. None where there shall or can be
    none."""
    if not asked.cache.size_bytes:
        return None
    try:
        cache = NodeCache(asked.cache.path, asked.cache.size_bytes)
    except StorageError as error:
        event(_log, logging.WARNING, "no node cache", problem=error)
        return None
    cache.tidy()
    return cache


def _settings(asked: Flags) -> Settings:
    return replace(
        from_environment(ROOT),
        files_limit_bytes=asked.work.files_limit_bytes,
        compression=asked.compression,
        shown_root=Path(shown) if (shown := os.environ.get(_SHOWN)) else None,
    )
