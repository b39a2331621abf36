"""The agent's side: processes held for the length of a block."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from agent.kernel import children
from chrek.errors import RestoreError
from chrek.ids import HostPID

_ENTRY = Path(__file__).with_name("__main__.py")
_PACKET_BYTES = 1 << 16
_SECONDS = 30.0


@contextlib.asynccontextmanager
async def held(processes: Sequence[HostPID], free: Sequence[int]) -> AsyncIterator[None]:
    """Every thread of `processes` stands still in the block, but for the threads `free` (host
    TIDs). Left in an error, the processes are killed. Raises RestoreError."""
    process, ours = await children.started(_ENTRY)
    with ours:
        ours.setblocking(False)
        try:
            await _say(ours, json.dumps({"processes": processes, "free": free}).encode())
            yield
            await _say(ours, b"go")
        finally:
            ours.close()
            await asyncio.shield(process.wait())


async def _say(channel: socket.socket, packet: bytes) -> None:
    """Send and await the answer."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_SECONDS):
            await loop.sock_sendall(channel, packet)
            answer = await loop.sock_recv(channel, _PACKET_BYTES)
    except TimeoutError as error:
        raise RestoreError(f"the processes were not held in {_SECONDS:.0f} s") from error
    except OSError as error:
        raise RestoreError(f"what holds the processes broke off: {error}") from error
    said = json.loads(answer) if answer else {"error": "it ended"}
    if "error" in said:
        raise RestoreError(f"the processes could not be held: {said['error']}")
