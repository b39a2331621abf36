"""The agent's words to chrek-init in a container, and chrek-init's answer.

Words go over a FIFO in a directory that the container owns, so nothing there is believed. The
answer is the name that PID 1 gave itself (/proc/PID/comm): no other process can set it.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from agent.kernel import calls, process
from agent.runtime.target import Target
from chrek.errors import NoAnswerError, NotWrappedError, TargetGoneError
from chrek.ids import NamespacePID
from chrek.names import CHREK_DIR, FIFO

State = Literal["waiting", "restoring", "running"]

_REPEAT_SECONDS = 1.0
_ANSWER_SECONDS = 3.0
# Before a cold start chrek-init uses up a thousand PIDs: seconds, for a container with a twentieth
# of a CPU or on an emulated one.
_COLD_SECONDS = 60.0
_POLL_SECONDS = 0.002
_PREFIX = "chrek:"
_TORN_READS = 1000


def state(target: Target) -> State:
    """What chrek-init in `target` is doing; raises NotWrappedError when PID 1 is not it."""
    for _ in range(_TORN_READS):
        name = process.comm(target.init)
        if name is None or not target.alive():
            raise TargetGoneError(f"container {target.name} has ended")
        word = name.removeprefix(_PREFIX)
        if name.startswith(_PREFIX) and word in ("waiting", "restoring", "running"):
            return word  # type: ignore[return-value]
        if not name.startswith(_PREFIX):
            break
        # The kernel (6.18) reads a name without a lock while it is being changed: "wastori".
    raise NotWrappedError(
        f"PID 1 of container {target.name} is {name!r}, not chrek-init",
        hint="Only a container that was started through chrek can be checkpointed or restored",
    )


def tell(target: Target, word: str) -> None:
    """Write one word on the container's FIFO; raises NoAnswerError when nobody listens."""
    with target.pidfd():
        descriptor = _open_fifo(target)
        try:
            os.write(descriptor, word.encode() + b"\n")
        except OSError as error:
            raise NoAnswerError(f"chrek-init in {target.name} does not listen: {error}") from error
        finally:
            os.close(descriptor)


def _open_fifo(target: Target) -> int:
    try:
        root = os.open(target.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TargetGoneError(f"container {target.name} has ended") from error
    try:
        descriptor = calls.openat2(
            root,
            f"{CHREK_DIR.lstrip('/')}/{FIFO}",
            os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW,
            resolve=calls.RESOLVE_IN_ROOT | calls.RESOLVE_NO_SYMLINKS,
        )
    except OSError as error:
        raise NoAnswerError(f"chrek-init in {target.name} cannot be reached: {error}") from error
    finally:
        os.close(root)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoAnswerError(f"the FIFO of container {target.name} was replaced by something else")
    return descriptor


async def awaited(
    target: Target, wanted: State, *, after: str, timeout_seconds: float = _ANSWER_SECONDS
) -> None:
    """Wait until chrek-init is in state `wanted`; raises NoAnswerError."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while (now := state(target)) != wanted:
        if asyncio.get_running_loop().time() > deadline:
            raise NoAnswerError(
                f"chrek-init in {target.name} is {now} after `{after}`, not {wanted}",
                hint="Look at the container's log",
            )
        await asyncio.sleep(_POLL_SECONDS)


async def reachable(target: Target, timeout_seconds: float = _ANSWER_SECONDS) -> None:
    """Wait until a container that has just started can be spoken to."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        try:
            if state(target) == "running":
                return
            os.close(_open_fifo(target))
        except (NotWrappedError, NoAnswerError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return


async def cold(target: Target, why: str) -> None:
    """Have the original command started now; returns once it runs."""
    await reachable(target)
    if state(target) != "running":
        tell(target, f"cold {_one_line(why)}")
        with suppress(TargetGoneError):  # a short command has run and ended
            await awaited(target, "running", after="cold", timeout_seconds=_COLD_SECONDS)


@asynccontextmanager
async def restoring(target: Target) -> AsyncIterator[None]:
    """Keep the container waiting for a restore; silence would start it cold."""
    await reachable(target)
    tell(target, "begin")
    await awaited(target, "restoring", after="begin")
    repeat = asyncio.create_task(_repeat(target))
    try:
        yield
    finally:
        repeat.cancel()
        await asyncio.gather(repeat, return_exceptions=True)


async def _repeat(target: Target) -> None:
    while True:
        await asyncio.sleep(_REPEAT_SECONDS)
        tell(target, "begin")


def files(target: Target) -> None:
    """Announce that the checkpoint's files will be written: after that a cold start needs a
    fresh container, so chrek-init ends with 75 and its next start is cold."""
    tell(target, "files")


def expect(target: Target, pid: NamespacePID) -> None:
    """Announce the PID that will be PID 1's child: its end is then not lost."""
    tell(target, f"expect {pid}")


async def adopt(target: Target, pid: NamespacePID) -> None:
    """Hand the restored tree to chrek-init; returns once it answers for it."""
    tell(target, f"adopt {pid}")
    await awaited(target, "running", after="adopt")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
