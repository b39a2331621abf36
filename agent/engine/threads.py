"""Threads that are waited for, whatever becomes of who started them: they use descriptors and files
that are gone afterwards."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(
    work: Callable[..., T], *arguments: object, stop: threading.Event | None = None
) -> T:
    """What `work` gives, run in a thread. stop: set when this is cancelled, so that it ends soon;
    and when it has ended."""
    thread = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(thread)
    finally:
        if stop is not None:
            stop.set()
        await asyncio.gather(thread, return_exceptions=True)
