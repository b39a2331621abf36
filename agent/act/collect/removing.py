"""The data of one Checkpoint, or of some of its variants, removed from an attached claim."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Final

from agent.plan.checkpoint import CheckpointView
from agent.store import removal
from chrek.errors import BusyError

_MOST_LOOKS: Final = 100


class ChangedError(BusyError):
    """The Checkpoint is not any more what its data was to be removed for."""

    reason = "CheckpointChanged"


async def remove(
    claim: Path,
    checkpoint: CheckpointView,
    is_meant: Callable[[], Awaitable[bool]],
    variants: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Remove all that is stored of `checkpoint`, or only `variants`; names of what is restored
    from now and therefore stays. Raises StorageError, ChangedError.

    is_meant: asked between looking and removing. Another agent may have been quicker, and then a
    new Checkpoint of the same name may have been captured: what was seen before the answer is of
    the old one.
    """
    for _ in range(_MOST_LOOKS):
        found = await asyncio.to_thread(removal.look, claim, checkpoint.namespace, checkpoint.name)
        if variants is not None:
            found = found.only(variants)
        if not found.variants and not found.left:
            await asyncio.to_thread(removal.close, found)
            return ()
        if not await is_meant():
            raise ChangedError(
                f"Checkpoint {checkpoint.namespace}/{checkpoint.name} has changed meanwhile"
            )
        hidden = await asyncio.to_thread(removal.conceal, found)
        await removal.erase(hidden.trash)
        if hidden.in_use:
            return hidden.in_use
    raise ChangedError(f"{found.home} does not get empty: somebody writes there")
