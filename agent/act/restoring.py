"""Restore one placeholder: queue -> claim -> choose a variant -> the engine -> report."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from agent.act import volume
from agent.act.life import Running
from agent.act.node import Node, now
from agent.claims.attach import attached
from agent.engine import restore as engine
from agent.engine.compare import compare
from agent.engine.restore import Choices, Restored
from agent.init import words
from agent.plan import lease
from agent.plan.pod import PodView
from agent.plan.start import Restore
from agent.store import checkpoints
from agent.store.checkpoints import Checkpoints
from agent.store.use import in_use
from chrek.errors import ChrekError, DamagedError, NotFoundError, RestoreError, TrustError
from chrek.ids import CheckpointID, Variant
from chrek.logs import event

_log = logging.getLogger("chrek.restore")
_UNUSABLE = (DamagedError, TrustError, NotFoundError)
"""What is so for every pod: the variant is not tried again."""


@dataclass(frozen=True, slots=True)
class Done:
    """A restore. variant: which. seconds: from the decision to the end, the queue included."""

    variant: Variant
    restored: Restored
    seconds: float


async def restore(
    node: Node, pod: PodView, running: Running, chosen: Restore, *, restart: bool
) -> Done:
    """Restore into a waiting container; raises ChrekError after it was told what to do instead."""
    assert pod.checkpoint_id is not None
    loop = asyncio.get_running_loop()
    began = loop.time()
    choices = Choices(
        namespace=pod.namespace,
        timeout_seconds=chosen.timeout_seconds,
        on_failure=pod.wish.on_failure if pod.wish else "cold-start",
        restart=restart,
        fresh_container=pod.restart_policy != "Never",
    )
    try:
        with node.metrics.waiting():
            await node.restores.acquire()
        try:
            variant, restored = await _restore(node, pod, running, chosen, choices)
        finally:
            node.restores.release()
    except ChrekError as error:
        node.metrics.restored(error.reason, {}, 0)
        raise
    done = Done(variant, restored, loop.time() - began)
    node.metrics.restored(None, restored.phases, 0)
    event(
        _log, logging.INFO, "restored",
        pod=f"{pod.namespace}/{pod.name}", checkpoint=f"{pod.checkpoint_id}/{variant}",
        seconds=round(done.seconds, 3),
        **{name: round(seconds, 3) for name, seconds in restored.phases.items()},
    )  # fmt: skip
    node.later(_count(node, pod, done))
    return done


async def _restore(
    node: Node, pod: PodView, running: Running, chosen: Restore, choices: Choices
) -> tuple[Variant, Restored]:
    target = running.target
    async with contextlib.AsyncExitStack() as stack:
        try:
            _still_waiting(running)
            host_path = await volume.host_path(node, pod)
            claim = await stack.enter_async_context(attached(host_path, read_only=True))
            store = Checkpoints(claim, pod.namespace)
            variant, path = await _choose(node, pod, store, running, chosen, stack)
        except ChrekError as error:
            await engine.instead(target, choices, error)
            raise
        return variant, await engine.restore(target, path, means=node.means, choices=choices)


def _still_waiting(running: Running) -> None:
    """A long queue outlasts a container's patience; then it has started cold."""
    if words.state(running.target) != "waiting":
        raise RestoreError(
            f"{running.target.name} started cold before it was its turn to be restored",
            hint="Let the agent restore more at once (agent.restores), or raise "
            "chrek.io/restore-timeout",
        )


async def _choose(
    node: Node,
    pod: PodView,
    store: Checkpoints,
    running: Running,
    chosen: Restore,
    stack: contextlib.AsyncExitStack,
) -> tuple[Variant, Path]:
    """The first variant that is whole and fits this node; raises the last one's error. Until
    `stack` is left, nobody removes it."""
    assert pod.checkpoint_id is not None
    failure: ChrekError | None = None
    for name in chosen.variants:
        path = store.place(CheckpointID(pod.checkpoint_id), Variant(name))
        try:
            await stack.enter_async_context(in_use(path))
            manifest = await checkpoints.loaded(path, node.means.keys)
            await asyncio.to_thread(compare, manifest, running.target)
        except ChrekError as error:
            failure = error
            if isinstance(error, _UNUSABLE):
                node.later(damaged(node, pod, name, error))
        else:
            return Variant(name), path
    assert failure is not None
    raise failure


async def damaged(node: Node, pod: PodView, variant: str, error: ChrekError) -> None:
    """Mark a variant, so that no pod waits for it again and a new one is captured."""
    assert pod.checkpoint_id is not None
    await node.writer.update(
        pod.namespace,
        pod.checkpoint_id,
        lambda status: lease.damaged(
            status, variant, reason=error.reason, message=error.message, now=now()
        ),
    )


async def _count(node: Node, pod: PodView, done: Done) -> None:
    assert pod.checkpoint_id is not None
    await node.writer.update(
        pod.namespace,
        pod.checkpoint_id,
        lambda status: lease.restored(
            status, done.variant, seconds=round(done.seconds, 3), now=now()
        ),
    )
