"""What fills a restored tree's memory: threads of the agent, or several processes of few threads
each, started while CRIU works. Threads of one Python pass its lock around between two calls of the
kernel, and from some number on they wait for it longer than for memory."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Final

import msgspec

from agent.engine.threads import to_its_end
from agent.kernel import children
from agent.kernel.workers import Threads
from agent.pages import load, loader
from agent.pages.index import Index, Opened
from chrek import errors
from chrek.errors import ChrekError, RestoreError
from chrek.ids import HostPID

THREADS_EACH: Final = 4
"""Of a process."""
_WORTHWHILE_BYTES: Final = 1 << 30
"""Less than this is there before another process is."""

Fill = Callable[[dict[int, HostPID]], Awaitable[None]]
"""Bring all pages, every byte checked, into the processes with these PIDs. Raises DamagedError,
RestoreError."""


@contextlib.asynccontextmanager
async def ready(pages: Sequence[Opened], threads: Threads) -> AsyncIterator[Fill]:
    """What fills `pages` with these threads."""
    parts = -(-threads.number // THREADS_EACH)
    if parts == 1 or sum(each.size_bytes for each in pages) < _WORTHWHILE_BYTES:
        yield lambda pids: _here(pages, threads, pids)
        return
    plan = loader.Plan(
        index=Index([each.file for each in pages]),
        descriptors=[each.descriptor for each in pages],
        sizes=[each.size_bytes for each in pages],
        tables=[each.table for each in pages],
        threads=threads._replace(number=-(-threads.number // parts)),
        of=parts,
        agent=os.getpid(),
    )
    async with contextlib.AsyncExitStack() as stack:
        with _in_memory(msgspec.msgpack.encode(plan)) as held:
            descriptors = [held, *plan.descriptors]
            channels = [
                await stack.enter_async_context(_loader(descriptors, number))
                for number in range(parts)
            ]
        yield lambda pids: _by(channels, pids)


async def _here(pages: Sequence[Opened], threads: Threads, pids: dict[int, HostPID]) -> None:
    stop = threading.Event()
    await to_its_end(load.load, pages, pids, threads, stop, stop=stop)


async def _by(channels: Sequence[socket.socket], pids: dict[int, HostPID]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for channel in channels:
                group.create_task(_share(channel, msgspec.json.encode(pids)))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _share(channel: socket.socket, packet: bytes) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(channel, packet)
        answer = await loop.sock_recv(channel, loader.PACKET_BYTES)
    except OSError as error:
        raise RestoreError(f"a process that loads memory broke off: {error}") from error
    if not answer:
        raise RestoreError("a process that loads memory died", hint="See the node's kernel log")
    told = msgspec.json.decode(answer, type=loader.Told)
    if told.kind:
        kind = getattr(errors, told.kind)
        assert issubclass(kind, ChrekError)
        raise kind(told.message, hint=told.hint)


@contextlib.asynccontextmanager
async def _loader(descriptors: Sequence[int], number: int) -> AsyncIterator[socket.socket]:
    """The socket of a process that is ready to load share `number`; in the end it is gone.
    descriptors: that of the plan, and those that the plan names."""
    try:
        process, channel = await children.module(
            "agent.pages.loader", str(descriptors[0]), str(number), descriptors=descriptors
        )
    except OSError as error:
        raise RestoreError(f"a process that loads memory did not start: {error}") from error
    try:
        with channel:
            channel.setblocking(False)
            yield channel
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A descriptor of a file with `content`."""
    descriptor = os.memfd_create("chrek-plan")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield descriptor
    finally:
        os.close(descriptor)
