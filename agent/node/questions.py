"""Asks the questions of `chrek check` on this node, in a process that can be ended.

One of them runs CRIU, and a thread that waits for it would outlive a SIGTERM.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Final

import msgspec

from agent.machine.check import Answer, answers
from chrek.errors import ChrekError

_ONE_MACHINE: Final = frozenset({"runc", "network tools"})
"""What only `chrek run` needs: in a cluster the runtime of the node does that work."""

_PATIENCE_SECONDS: Final = 60.0
_LAST_SECONDS: Final = 2.0


class QuestionsError(ChrekError):
    """The node could not be asked what it is able to do."""

    reason = "QuestionsUnanswered"
    retry = True


async def ask(patience_seconds: float = _PATIENCE_SECONDS) -> list[Answer]:
    """What this node answers; raises QuestionsError."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agent.node.questions",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # so that CRIU can be ended with it
        )
    except OSError as error:
        raise QuestionsError(f"no process to ask in: {error.strerror}") from error
    try:
        async with asyncio.timeout(patience_seconds):
            said, complaint = await process.communicate()
    except TimeoutError as error:
        raise QuestionsError(f"no answers within {patience_seconds:.0f} s") from error
    finally:
        await asyncio.shield(_ended(process))
    try:
        return msgspec.json.decode(said, type=list[Answer])
    except msgspec.DecodeError as error:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise QuestionsError(f"no answers: {last or f'exit code {process.returncode}'}") from error


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):  # a process that the kernel holds is not waited for
            async with asyncio.timeout(_LAST_SECONDS):
                await process.wait()


def _of_a_node() -> list[Answer]:
    return [answer for answer in answers() if answer.question not in _ONE_MACHINE]


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_of_a_node()))
