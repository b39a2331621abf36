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


async def or_given_up(
    work: Callable[..., T], *arguments: object, stop: threading.Event, seconds: float
) -> T:
    """As `to_its_end`, for work on a volume that may hang: once this is cancelled, the thread is
    waited for no longer than `seconds`."""
    thread = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        stop.set()
        thread.add_done_callback(_heard)
        await asyncio.wait([thread], timeout=seconds)
        raise


def _heard(thread: "asyncio.Future[T]") -> None:
    if not thread.cancelled():
        thread.exception()
