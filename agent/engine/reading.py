"""Where a restore reads a checkpoint: the node's own copy, if there is one, else the volume.

The manifest is the volume's either way, and every byte is checked against it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from agent.engine.means import Means
from agent.engine.prepared import Prepared, prepare
from agent.kernel import tree
from agent.runtime.target import Target
from agent.store import contents
from agent.store.nodecache import NodeCache
from agent.store.use import in_use
from chrek.errors import ChrekError, CopyDamagedError, DamagedError, NotFoundError, StorageError
from chrek.logs import event
from chrek.manifest import Manifest

_log = logging.getLogger("chrek.cache")


@dataclass(frozen=True, slots=True)
class Reading:
    """A checkpoint that is ready for CRIU. copy: the node's, if it is read there."""

    prepared: Prepared
    copy: Path | None


@contextlib.asynccontextmanager
async def reading(
    path: Path, manifest: Manifest, target: Target, means: Means, scratch: Path
) -> AsyncIterator[Reading]:
    """Make ready for `target` the checkpoint in `path`, which has this manifest. Raises as
    `prepare`, and CopyDamagedError where the block failed for damage of the node's copy."""
    cache = means.cache

    async def prepared(stack: contextlib.AsyncExitStack, place: Path) -> Prepared:
        directory = stack.enter_context(contents.opened(place))
        made = prepare(manifest, directory, scratch, means, target)
        return await stack.enter_async_context(made)

    found: Reading | None = None
    try:
        async with contextlib.AsyncExitStack() as stack:
            if cache is not None:
                found = await _of_copy(stack, cache, manifest, prepared)
            if found is None:
                if await asyncio.to_thread(scratch.exists):  # of a copy that was damaged
                    await asyncio.to_thread(tree.remove, scratch)
                found = Reading(await prepared(stack, path), None)
            yield found
    except ChrekError as error:
        if cache is None or found is None or found.copy is None or not _damaged(found, error):
            raise
        cache.found("damaged")
        await asyncio.to_thread(cache.drop, found.copy, "damaged")
        raise CopyDamagedError(
            f"the node's copy of checkpoint {manifest.id} is damaged, and is gone now: {error}",
            hint="The next restore reads the volume. If it comes again, look at the node's disk",
        ) from error


async def _of_copy(
    stack: contextlib.AsyncExitStack,
    cache: NodeCache,
    manifest: Manifest,
    prepared: Callable[[contextlib.AsyncExitStack, Path], Awaitable[Prepared]],
) -> Reading | None:
    """None where there is no copy that is whole, as far as that can be said so early."""
    copy = await asyncio.to_thread(cache.find, manifest)
    if copy is None:
        cache.found("miss")
        return None
    try:
        async with contextlib.AsyncExitStack() as attempt:
            await attempt.enter_async_context(in_use(copy))
            ready = Reading(await prepared(attempt, copy), copy)
            cache.found("hit", copy)
            stack.push_async_exit(attempt.pop_all())
            return ready
    except (DamagedError, StorageError) as error:
        event(_log, logging.WARNING, "copy damaged", path=copy, problem=error)
        cache.found("damaged")
        await asyncio.to_thread(cache.drop, copy, "damaged")
    except NotFoundError:  # it went just now
        cache.found("miss")
    return None


def _damaged(found: Reading, error: ChrekError) -> bool:
    """Whether the copy is: CRIU may have stumbled over it before its hash was known."""
    verified = found.prepared.verified
    failure = verified.exception() if verified.done() and not verified.cancelled() else None
    return isinstance(error, DamagedError) or isinstance(failure, (DamagedError, StorageError))
