"""Have the kernel read a checkpoint, from its volume or the node's copy, before the container that
needs it starts."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Final

from agent.act import volume
from agent.act.node import Node
from agent.claims.attach import attached
from agent.plan.pod import PodView
from agent.store import checkpoints
from agent.store.checkpoints import Checkpoints
from agent.store.nodecache import NodeCache
from chrek.errors import ChrekError
from chrek.ids import CheckpointID, Variant
from chrek.logs import event
from chrek.names import CRIU_DIR, FILES_ARCHIVE, PAGES_PREFIX, PAGES_SUFFIX

_log = logging.getLogger("chrek.readahead")

_MOST_FILES: Final = 10_000
_PIECE_BYTES: Final = 64 << 20
"""One call holds its thread until all of it has been asked for."""


async def read_ahead(node: Node, pod: PodView) -> None:
    """Ask for what this pod is likely to be restored from. A failure is of no consequence: the
    restore meets it too, and reports it."""
    assert pod.checkpoint_id is not None
    checkpoint = node.memory.checkpoint(pod.namespace, pod.checkpoint_id)
    ready = checkpoint.ready if checkpoint else ()
    if not ready:
        return
    try:
        host_path = await volume.host_path(node, pod)
        async with attached(host_path, read_only=True) as claim:
            store = Checkpoints(claim, pod.namespace)
            place = store.place(CheckpointID(pod.checkpoint_id), Variant(ready[0].name))
            if node.means.cache is not None:
                place = await asyncio.to_thread(_copy_of, place, node.means.cache)
            size = await asyncio.to_thread(_ask_for, place)
    except ChrekError as error:
        event(_log, logging.INFO, "not read ahead", pod=f"{pod.namespace}/{pod.name}", why=error)
        return
    event(_log, logging.DEBUG, "read ahead", pod=f"{pod.namespace}/{pod.name}", bytes=size)


def _copy_of(place: Path, cache: NodeCache) -> Path:
    """The node's copy of the checkpoint in `place`, where it has one, else that."""
    return cache.find(checkpoints.peek(place)) or place


def _ask_for(place: Path) -> int:
    """Bytes that were asked for."""
    asked = 0
    pages = sorted(place.glob(f"{PAGES_PREFIX}*{PAGES_SUFFIX}*"))
    images = sorted((place / CRIU_DIR).glob("*"))
    files = [place / FILES_ARCHIVE, *images[:_MOST_FILES], *pages[:_MOST_FILES]]
    for path in files:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # what should be there is found missing by the restore
        try:
            size = os.fstat(descriptor).st_size
            for offset in range(0, size, _PIECE_BYTES):
                os.posix_fadvise(descriptor, offset, _PIECE_BYTES, os.POSIX_FADV_WILLNEED)
            asked += size
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return asked
