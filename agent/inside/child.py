"""The agent's side of an inside process: start it early, ask it once, always see it end."""

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.inside import wire
from agent.kernel import calls, children
from chrek.errors import ChrekError, EnterError, SystemVError

_ENTRY = Path(__file__).with_name("__main__.py")
_END_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class CRIUProcess:
    """CRIU as it runs in the container: its RPC socket and the numbers of its descriptors."""

    rpc: socket.socket
    numbers: dict[str, int]
    pid: int


@dataclass
class Inside:
    """One inside process. Use as `async with Inside() as inside`.

    Leaving the block hangs up: a dump is finished by CRIU, a restore is ended; either way the
    process ends, and is awaited.
    """

    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _channel: socket.socket | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        self._process, self._channel = await children.started(_ENTRY)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up and see the process end; nothing the second time."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            await asyncio.shield(_awaited(self._process))

    async def start_criu(
        self, request: wire.Request, descriptors: list[int], *, timeout_seconds: float = 20.0
    ) -> CRIUProcess:
        """Have CRIU started inside; raises SystemVError, or EnterError with the failed step.

        `descriptors` stay the caller's: the message carries duplicates.
        """
        event, received = await self._ask(request, descriptors, timeout_seconds)
        if event["event"] != "criu" or len(received) != 1:
            raise _failed(event)
        rpc = socket.socket(fileno=received[0])
        rpc.setblocking(False)
        return CRIUProcess(rpc=rpc, numbers=event["numbers"], pid=event["pid"])

    async def ended(self, *, timeout_seconds: float = _END_SECONDS) -> int:
        """Wait until CRIU ended; its exit status."""
        event, _ = await self._next(timeout_seconds)
        if event["event"] != "ended":
            raise _failed(event)
        return event["status"]

    async def _ask(
        self, request: wire.Request, descriptors: list[int], timeout_seconds: float
    ) -> tuple[wire.Event, list[int]]:
        assert self._channel is not None
        try:
            wire.send(self._channel, request, descriptors)
        except OSError as error:
            raise EnterError(f"what enters containers did not start: {error}") from error
        return await self._next(timeout_seconds)

    async def _next(self, timeout_seconds: float) -> tuple[wire.Event, list[int]]:
        assert self._channel is not None
        channel = self._channel
        channel.settimeout(timeout_seconds)
        try:
            received = await asyncio.to_thread(wire.receive, channel)
        except TimeoutError as error:
            raise EnterError(f"no answer from inside in {timeout_seconds:.0f} s") from error
        except OSError as error:
            raise EnterError(f"the process inside broke off: {error}") from error
        if received is None:
            raise EnterError("the process inside ended without an answer")
        message, descriptors = received
        return message, descriptors  # type: ignore[return-value]


def _failed(event: wire.Event) -> ChrekError:
    if event["event"] == "refused":
        return SystemVError(
            f"its IPC namespace has System V objects: {event['message']}",
            hint="They are of no process, and so in no image; POSIX ones (/dev/shm) are kept",
        )
    return EnterError(f"could not {event.get('step', 'go on')}: {event.get('message', event)}")


async def _awaited(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def bundle_tree(bundle: Path) -> int:
    """A detached, read-only mount of the CRIU bundle, to be sent inside."""
    tree = calls.open_tree(
        calls.AT_FDCWD,
        os.fsencode(bundle),
        calls.OPEN_TREE_CLONE | calls.OPEN_TREE_CLOEXEC,
    )
    calls.mount_setattr(
        tree, calls.MOUNT_ATTR_RDONLY | calls.MOUNT_ATTR_NOSUID | calls.MOUNT_ATTR_NODEV
    )
    return tree
