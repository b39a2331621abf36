"""Keeps the node's copies to what there are checkpoints of."""

import asyncio
import logging
from datetime import datetime
from typing import Final

from agent.act.node import Node, now
from agent.plan.copies import CopyView, needless
from agent.store import checkpoints
from agent.store.nodecache import Copy, NodeCache
from chrek.errors import ChrekError, StorageError
from chrek.logs import event

_log = logging.getLogger("chrek.cache")

_TOGETHER_SECONDS: Final = 2.0
"""Changes come in crowds; so long the first of them waits for the others."""
_AGAIN_SECONDS: Final = 60.0
"""For what was in use the last time, and for leases that lapse."""


class Sweeper:
    """Of one agent. Nothing is done before `run`, which is for when the watches have listed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """A Checkpoint has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        cache = self._node.means.cache
        if cache is None:
            return
        while True:
            self._changed.clear()
            await self.look(cache)
            try:
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(_TOGETHER_SECONDS)

    async def look(self, cache: NodeCache) -> None:
        """Drop what is needless."""
        for copy in await asyncio.to_thread(cache.copies):
            seen = await asyncio.to_thread(_view, copy)
            checkpoint = self._node.memory.checkpoint(copy.namespace, copy.identifier)
            if needless(seen, checkpoint, now()):
                await asyncio.to_thread(cache.drop, copy.path, "removed")
        try:
            await asyncio.to_thread(cache.sweep)
        except StorageError as error:
            event(_log, logging.WARNING, "node cache", problem=error)


def _view(copy: Copy) -> CopyView:
    try:
        created = datetime.fromisoformat(checkpoints.peek(copy.path).created)
    except (ChrekError, ValueError):
        created = None
    return CopyView(copy.namespace, copy.identifier, copy.variant, created)
