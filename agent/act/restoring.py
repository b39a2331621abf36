"""Restore one placeholder: queue -> claim -> choose a variant -> the engine -> report."""

import asyncio
import contextlib
import functools
import logging
from dataclasses import dataclass
from pathlib import Path

from agent.act import caching, volume
from agent.act.life import Running
from agent.act.node import Node, now
from agent.claims.attach import attached
from agent.engine import restore as engine
from agent.engine.restore import Choices, Restored
from agent.init import words
from agent.plan import lease
from agent.plan.pod import PodView
from agent.plan.start import Restore
from agent.store.checkpoints import Checkpoints
from agent.store.use import in_use
from chrek.errors import (
    ChrekError,
    DamagedError,
    ForeignError,
    ForgedError,
    NotFoundError,
    RestoreError,
    UnsignedError,
    UntrustedKeyError,
)
from chrek.ids import CheckpointID, Variant
from chrek.logs import event
from chrek.manifest import Manifest

_log = logging.getLogger("chrek.restore")
_USELESS = (
    DamagedError, UnsignedError, ForgedError, UntrustedKeyError, ForeignError, NotFoundError,
)  # fmt: skip
"""Said of a variant, these are so for every pod: it is not tried again."""


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
    loop = asyncio.get_running_loop()
    began = loop.time()
    choices = Choices(
        namespace=pod.namespace,
        timeout_seconds=chosen.timeout_seconds,
        on_failure=pod.wish.on_failure if pod.wish else "cold-start",
        restart=restart,
        fresh_container=pod.restart_policy != "Never",
    )
    work = _Work(node, pod, running, chosen, choices)
    node.restoring += 1
    try:
        with node.metrics.waiting():
            await node.restores.acquire()
        try:
            manifest, restored = await _restore(work)
        finally:
            node.restores.release()
    except ChrekError as error:
        node.metrics.restored(error.reason)
        raise
    finally:
        node.restoring -= 1
    if not restored.copied:
        node.later(caching.fill(node, pod, manifest))
    done = Done(Variant(manifest.variant), restored, loop.time() - began)
    read_bytes = manifest.unpacked_bytes if restored.copied else manifest.size_bytes
    node.metrics.restored(None, restored.phases, read_bytes)
    event(
        _log, logging.INFO, "restored",
        pod=f"{pod.namespace}/{pod.name}", checkpoint=f"{pod.checkpoint_id}/{done.variant}",
        seconds=round(done.seconds, 3),
        **{name: round(seconds, 3) for name, seconds in restored.phases.items()},
    )  # fmt: skip
    node.later(_count(work, done))
    return done


@dataclass(frozen=True, slots=True)
class _Work:
    """One restore."""

    node: Node
    pod: PodView
    running: Running
    chosen: Restore
    choices: Choices

    @property
    def checkpoint(self) -> CheckpointID:
        assert self.pod.checkpoint_id is not None
        return CheckpointID(self.pod.checkpoint_id)


async def _restore(work: _Work) -> tuple[Manifest, Restored]:
    target = work.running.target
    async with contextlib.AsyncExitStack() as stack:
        try:
            _still_waiting(work.running)
            host_path = await volume.host_path(work.node, work.pod)
            claim = await stack.enter_async_context(attached(host_path, read_only=True))
            store = Checkpoints(claim, work.pod.namespace)
            manifest, path = await _choose(work, store, stack)
        except ChrekError as error:
            await engine.instead(target, work.choices, error)
            raise
        try:
            restored = await engine.restore(
                target,
                path,
                means=work.node.means,
                choices=work.choices,
                manifest=manifest,
            )
        except _USELESS as error:
            work.node.later(_damaged(work, manifest.variant, error))
            raise
        return manifest, restored


def _still_waiting(running: Running) -> None:
    """A long queue outlasts a container's patience; then it has started cold."""
    if words.state(running.target) != "waiting":
        raise RestoreError(
            f"{running.target.name} started cold before it was its turn to be restored",
            hint="Let the agent restore more at once (agent.restores), or raise "
            "chrek.io/restore-timeout",
        )


async def _choose(
    work: _Work, store: Checkpoints, stack: contextlib.AsyncExitStack
) -> tuple[Manifest, Path]:
    """The first variant that is whole and fits this node; raises the last one's error. Until
    `stack` is left, nobody removes it."""
    failure: ChrekError | None = None
    for name in work.chosen.variants:
        path = store.place(work.checkpoint, Variant(name))
        try:
            await stack.enter_async_context(in_use(path))
            manifest = await engine.fitting(
                work.running.target, path, means=work.node.means, choices=work.choices
            )
        except ChrekError as error:
            failure = error
            if isinstance(error, _USELESS):
                work.node.later(_damaged(work, name, error))
        else:
            return manifest, path
    assert failure is not None
    raise failure


async def _damaged(work: _Work, variant: str, error: ChrekError) -> None:
    """Mark a variant, so that no pod waits for it again and a new one is captured."""
    change = functools.partial(
        lease.damaged, variant=variant, reason=error.reason, message=error.message, now=now()
    )
    await work.node.writer.note(work.pod.namespace, work.checkpoint, change)


async def _count(work: _Work, done: Done) -> None:
    change = functools.partial(
        lease.restored, variant=done.variant, seconds=round(done.seconds, 3), now=now()
    )
    await work.node.writer.note(work.pod.namespace, work.checkpoint, change)
