"""Started as `python -m agent.pages.loader FD PLAN NUMBER`: loads a share of a checkpoint's pages.

FD is its socket to the agent, PLAN a descriptor with a `Plan`, NUMBER says which share. The agent
sends the PIDs to write to; the answer is a `Told`. The agent kills it once nobody wants it, and it
ends with the agent.
"""

import ctypes
import os
import signal
import socket
import sys
import threading
from typing import Final

import msgspec

from agent.kernel import memory
from agent.kernel.workers import Threads
from agent.pages import load
from agent.pages.index import Extents, Index, Opened
from agent.pages.load import Share
from agent.store.compressed import Table
from chrek.errors import ChrekError

PACKET_BYTES: Final = 1 << 16
_PR_SET_PDEATHSIG: Final = 1


class Plan(msgspec.Struct, frozen=True):
    """index: of the files, whose bytes are behind `descriptors`, so many of each. of: so many
    shares. agent: the PID that it lives for."""

    index: Index
    descriptors: list[int]
    sizes: list[int]
    tables: list[Table | None]
    threads: Threads
    of: int
    agent: int


class Told(msgspec.Struct, frozen=True):
    """kind: the error's class, "" after success."""

    kind: str = ""
    message: str = ""
    hint: str = ""


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    plan = _plan(int(sys.argv[2]))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != plan.agent:
        return
    pages = [
        Opened(file, Extents(file.extents), descriptor, size, table)
        for file, descriptor, size, table in zip(
            plan.index.files, plan.descriptors, plan.sizes, plan.tables, strict=True
        )
    ]
    packet = channel.recv(PACKET_BYTES)
    if not packet:
        return
    pids = msgspec.json.decode(packet, type=dict[int, int])
    share = Share(int(sys.argv[3]), plan.of)
    try:
        load.load(pages, pids, plan.threads, threading.Event(), share)
        told = Told()
    except ChrekError as error:
        told = Told(type(error).__name__, error.message, error.hint)
    channel.send(msgspec.json.encode(told))


def _plan(descriptor: int) -> Plan:
    size = os.fstat(descriptor).st_size
    content = bytearray(size)
    memory.read(descriptor, memoryview(content), 0)
    return msgspec.msgpack.decode(content, type=Plan)


if __name__ == "__main__":
    main()
