"""Capture one source: lease -> idle -> claim -> the engine -> publish -> report."""

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from agent.act import volume
from agent.act.life import Running
from agent.act.node import Node, now
from agent.claims.attach import attached
from agent.engine import capture as engine
from agent.engine.capture import Capture
from agent.kernel import connections, process
from agent.plan import checkpoint as checkpoints
from agent.plan import lease
from agent.plan.capture import Attempt
from agent.plan.checkpoint import CheckpointView
from agent.plan.pod import PodView
from agent.runtime.target import Target
from agent.store.checkpoints import Checkpoints, Stored
from chrek.errors import BusyError, ChrekError, DumpError, TargetGoneError
from chrek.ids import CheckpointID
from chrek.kube.api import JSON
from chrek.logs import event
from chrek.manifest import PodFacts

_log = logging.getLogger("chrek.capture")
_IDLE_POLL_SECONDS: Final = 0.25
_PUBLISH_SECONDS: Final = 600.0

Wanted = Callable[[CheckpointView], Attempt | None]
"""How a source would be captured, as its Checkpoint stands now; None: not at all."""

_NO_VERDICT = (TargetGoneError, BusyError)
"""Nothing was found out about the source: no failure of its checkpoint."""


def estimate_bytes(target: Target) -> int:
    """What the container's processes hold in memory."""
    return sum(found.rss_bytes for found in process.in_pid_namespace(target.init))


async def capture(
    node: Node,
    pod: PodView,
    running: Running,
    *,
    wanted: Wanted,
    cold_start_seconds: float,
) -> Stored | None:
    """Capture a warm source and publish; None where that is not wanted any more. Raises
    ChrekError once the failure is recorded; the source runs on."""
    assert pod.checkpoint_id is not None
    await node.writer.ensure(pod, pod.checkpoint_id)
    async with (
        node.captures,
        node.writer.leased(
            pod, pod.checkpoint_id, node.name, wanted=lambda found: wanted(found) is not None
        ) as taken,
    ):
        attempt = wanted(checkpoints.parse(taken)) if taken is not None else None
        if attempt is None:
            return None
        try:
            try:
                stored = await _capture(node, pod, running, attempt, cold_start_seconds)
            except ChrekError:
                raise
            except Exception as error:  # unrecorded it would be tried again, and again, at once
                _log.debug("its trace", exc_info=error)
                raise DumpError(f"the capture of {pod.name} failed: {error!r}") from error
        except _NO_VERDICT:
            raise
        except ChrekError as error:
            node.metrics.captured(error.reason)
            change = functools.partial(
                lease.failed, reason=error.reason, message=str(error), now=now()
            )
            await node.writer.update(pod.namespace, pod.checkpoint_id, change)
            raise
        change = functools.partial(
            lease.published, variant=_variant(stored), now=now(), identity=pod.identity
        )
        # What is stored and stands in no Checkpoint, nobody finds and nobody removes.
        await node.writer.update(
            pod.namespace, pod.checkpoint_id, change, patience_seconds=_PUBLISH_SECONDS
        )
    made = stored.manifest
    node.metrics.captured(None, made.phases, made.size_bytes)
    event(
        _log, logging.INFO, "captured",
        pod=f"{pod.namespace}/{pod.name}", checkpoint=f"{made.id}/{made.variant}",
        bytes=made.size_bytes, frozen=round(made.frozen_seconds, 3),
        **{name: round(seconds, 3) for name, seconds in made.phases.items()},
    )  # fmt: skip
    return stored


async def _capture(
    node: Node, pod: PodView, running: Running, attempt: Attempt, cold_start_seconds: float
) -> Stored:
    assert pod.checkpoint_id is not None
    await _idle(node, running.target)
    host_path = await volume.host_path(node, pod)
    asked = Capture(
        running.target,
        CheckpointID(pod.checkpoint_id),
        replace=attempt.replace,
        pod=PodFacts(
            pod=pod.name,
            pod_uid=pod.uid,
            container=pod.container or "",
            node=node.name,
            identity=pod.identity,
            image=running.status.image,
            image_digest=running.here.image_digest,
            environment_hash=running.here.environment_hash,
            cold_start_seconds=cold_start_seconds,
        ),
    )
    async with attached(host_path, read_only=False) as claim:
        store = Checkpoints(claim, pod.namespace)
        # The lease is ours: what another left there half-done belongs to an agent that is gone.
        await asyncio.to_thread(store.tidy_id, asked.identifier)
        return await engine.capture(asked, store=store, means=node.means)


async def _idle(node: Node, target: Target) -> None:
    """Wait until no client is connected, but not for ever: its connection is closed in the copy
    only."""
    deadline = asyncio.get_running_loop().time() + node.limits.idle_wait_seconds
    while asyncio.get_running_loop().time() < deadline:
        if not await asyncio.to_thread(connections.inbound, target.init):
            return
        await asyncio.sleep(_IDLE_POLL_SECONDS)


def _variant(stored: Stored) -> JSON:
    """As the Checkpoint's status has it."""
    made = stored.manifest
    shown = {
        "name": made.variant,
        "phase": "Ready",
        "createdAt": made.created,
        "sizeBytes": made.size_bytes,
        "node": made.pod.node,
        "architecture": made.facts.architecture,
        "cpuModel": made.facts.cpu_model,
        "kernel": made.facts.kernel,
        "imageDigest": made.pod.image_digest,
        "environmentHash": made.pod.environment_hash,
        "formatVersion": made.format,
        "coldStartSeconds": round(made.pod.cold_start_seconds, 3),
    }
    if made.gpu is not None:
        shown |= {
            "gpuProduct": ", ".join(sorted({device.product for device in made.gpu.devices})),
            "gpuCount": len(made.gpu.devices),
            "gpuBytes": sum(each.bytes for each in made.gpu.processes),
            "driver": made.gpu.driver,
        }
    kept: JSON = msgspec.to_builtins({key: value for key, value in shown.items() if value != ""})
    return kept
