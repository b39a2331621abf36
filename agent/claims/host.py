"""The agent's side of agent.claims.child: started, heard, and always seen to end."""

import asyncio
import contextlib
import socket
from pathlib import Path

from agent.kernel import children
from chrek.errors import ClaimUnreachableError

_ENTRY = Path(__file__).with_name("child.py")
_ANSWER_SECONDS = 20.0
_MESSAGE_BYTES = 4096
_HINT = "See the pod's events and the volume on the node; a network volume may have lost its server"


async def clone(path: str, pid: int) -> int:
    """A descriptor of a detached mount of the directory `path` as process `pid` sees it.

    Raises ClaimUnreachableError.
    """
    if "\0" in path:
        raise ClaimUnreachableError(f"{path!r} is no path of the host")
    process, ours = await children.started(_ENTRY, str(pid), path)
    with ours:
        ended = False
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await process.wait()
            ended = True
        except TimeoutError as error:
            raise ClaimUnreachableError(
                f"{path} on the host does not answer", hint=_HINT
            ) from error
        finally:
            if not ended:
                await _kill(process)
        return _heard(ours, path)


def _heard(channel: socket.socket, path: str) -> int:
    try:
        said, descriptors, _, _ = socket.recv_fds(
            channel, _MESSAGE_BYTES, 1, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        )
    except OSError as error:
        raise ClaimUnreachableError(f"{path} on the host: {error}", hint=_HINT) from error
    if len(descriptors) == 1:
        return descriptors[0]
    why = said.decode(errors="replace") or "the process that opens it broke off"
    raise ClaimUnreachableError(f"{path} on the host: {why}", hint=_HINT)


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    # Waiting for a server that is gone, not even a killed process ends at once; the event loop
    # reaps it when it does.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            await process.wait()
