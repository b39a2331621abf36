"""Starting a fresh process for what this one must not do (entering namespaces, tracing, loading a
driver) or cannot do fast."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_PASSED: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")

Started = tuple[asyncio.subprocess.Process, socket.socket]
"""A process, and our end of its socket, a SOCK_SEQPACKET whose number there is an argument."""


async def started(entry: Path, *arguments: str) -> Started:
    """The file `entry` run by a Python that sees the standard library only, its socket first among
    the arguments. It ends with its own work: a signal for our process group, a Ctrl-C in a
    terminal, is not for it.
    """
    command = [sys.executable, "-I", "-S", str(entry)]
    return await _started(command, arguments, (), {})


async def module(name: str, *arguments: str, descriptors: Sequence[int] = ()) -> Started:
    """The same of a module of ours, with every library that we have."""
    return await command([sys.executable, "-m", name], *arguments, descriptors=descriptors)


async def command(
    words: Sequence[str], *arguments: str, descriptors: Sequence[int] = ()
) -> Started:
    """The same of any command that may import our modules. descriptors: it keeps, by number."""
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    paths = [str(_REPOSITORY), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return await _started(words, arguments, descriptors, environment)


async def _started(
    words: Sequence[str],
    arguments: Sequence[str],
    descriptors: Sequence[int],
    environment: dict[str, str],
) -> Started:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                str(theirs.fileno()),
                *arguments,
                pass_fds=(theirs.fileno(), *descriptors),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env=environment,
            )
        except BaseException:
            ours.close()
            raise
    return process, ours
