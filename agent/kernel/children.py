"""Starting a fresh process that does what this one must not: entering namespaces, tracing."""

import asyncio
import socket
import sys
from pathlib import Path


async def started(entry: Path, *arguments: str) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """The file `entry` run by a Python that sees the standard library only, and our end of its
    socket, a SOCK_SEQPACKET whose number there is its first argument. It ends with its own work:
    a signal for our process group, a Ctrl-C in a terminal, is not for it.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(entry),
                str(theirs.fileno()),
                *arguments,
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env={},
            )
        except BaseException:
            ours.close()
            raise
    return process, ours
