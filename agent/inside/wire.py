"""What the agent and its inside process say to each other over one SEQPACKET socket.

A message is one JSON object with the descriptors it speaks of beside it. The agent asks once;
the answers are events: `criu` (with CRIU's RPC socket), then `ended`; or `failed`; or `refused`,
when the IPC namespace has what CRIU would lose.
"""

import array
import json
import os
import socket
from typing import Literal, TypedDict

_MESSAGE_BYTES = 1 << 16
_DESCRIPTORS = 250
"""Most in one message; the kernel's own bound (SCM_MAX_FD) is 253."""


class Request(TypedDict):
    """What the inside process is to do. Descriptors are named by their place in the message.

    task: run CRIU for a dump, or for a restore.
    container: a string that a cgroup path of the process behind `pidfd` must contain.
    last_pid: restore only: the PID namespace's counter is raised to it, so that nothing takes a
        PID of the image.
    descriptors: in the order sent; `inherited` are handed to CRIU under the numbers in
        `inherited_as`.
    links: restore only: files of the images directory that are too large to copy; each becomes
        a link to a descriptor of CRIU's.
    labelled: restore only: the tasks are given a label of AppArmor.
    """

    task: Literal["dump", "restore"]
    container: str
    last_pid: int
    descriptors: list[str]
    links: list[str]
    labelled: bool
    preload: str | None


class Event(TypedDict, total=False):
    """What the inside process tells. `numbers` maps descriptor names to CRIU's numbers."""

    event: Literal["criu", "ended", "failed", "refused"]
    numbers: dict[str, int]
    pid: int
    status: int
    step: str
    message: str


def send(channel: socket.socket, message: Request | Event, descriptors: list[int]) -> None:
    """One message with its descriptors."""
    payload = json.dumps(message).encode()
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    channel.sendmsg([payload], ancillary)


def receive(channel: socket.socket) -> tuple[dict[str, object], list[int]] | None:
    """The next message and its descriptors (close-on-exec), or None when the peer is gone."""
    rights = array.array("i")
    payload, ancillary, flags, _ = channel.recvmsg(
        _MESSAGE_BYTES, socket.CMSG_SPACE(_DESCRIPTORS * rights.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            rights.frombytes(content[: len(content) - len(content) % rights.itemsize])
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
        raise OSError("a message did not fit")
    if not payload:
        for descriptor in rights:
            os.close(descriptor)
        return None
    message: dict[str, object] = json.loads(payload)
    return message, list(rights)
