"""Copy a checkpoint from its volume to the node, once a pod runs that was restored from the volume:
the next one is restored from the copy."""

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import Final

from agent.act import volume
from agent.act.node import Node
from agent.claims.attach import attached
from agent.engine.threads import or_given_up
from agent.plan.pod import PodView
from agent.store.checkpoints import Checkpoints
from agent.store.copying import GivenUpError
from agent.store.nodecache import NodeCache
from agent.store.use import in_use
from chrek.errors import ChrekError
from chrek.ids import CheckpointID, Variant
from chrek.logs import event
from chrek.manifest import Manifest

_log = logging.getLogger("chrek.cache")

_LOOK_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 0.1
_LAST_SECONDS: Final = 5.0
"""So long a copy that was given up is waited for: its volume may hang."""


async def fill(node: Node, pod: PodView, manifest: Manifest) -> None:
    """Have the node keep a copy of what `pod` was restored from, unless the pod ends before: then
    its volume is wanted back. Pauses while anything is restored. Handles its own errors."""
    cache = node.means.cache
    if cache is None:
        return
    shown = f"{pod.namespace}/{manifest.id}/{manifest.variant}"
    try:
        async with node.fills:  # others that were restored meanwhile want the same
            if await asyncio.to_thread(cache.find, manifest) is None:
                work = asyncio.create_task(_filled(node, cache, pod, manifest))
                if await _unless_it_ends(node, pod, work):
                    event(_log, logging.INFO, "copied to the node", checkpoint=shown)
    except ChrekError as error:
        event(_log, logging.INFO, "not copied to the node", checkpoint=shown, why=error)


async def _unless_it_ends(node: Node, pod: PodView, work: "asyncio.Task[bool]") -> bool:
    try:
        while not work.done():
            seen = node.memory.pod(pod.uid)
            if seen is None or seen.deleting or seen.ended:
                return False
            await asyncio.wait([work], timeout=_LOOK_SECONDS)
        return work.result()
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError, ChrekError):
            await work


async def _filled(node: Node, cache: NodeCache, pod: PodView, manifest: Manifest) -> bool:
    host_path = await volume.host_path(node, pod)
    async with attached(host_path, read_only=True) as claim:
        store = Checkpoints(claim, pod.namespace)
        path = store.place(CheckpointID(manifest.id), Variant(manifest.variant))
        stop = threading.Event()

        def step() -> None:
            while node.restoring and not stop.is_set():
                time.sleep(_PAUSE_SECONDS)
            if stop.is_set():
                raise GivenUpError

        async with in_use(path):
            return await or_given_up(
                cache.fill, path, manifest, step, stop=stop, seconds=_LAST_SECONDS
            )
