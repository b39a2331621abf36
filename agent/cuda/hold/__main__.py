"""Holds processes: started as a file with the number of its socket, as agent/inside is.

The agent sends one JSON object: `{"processes": [PID, ...], "free": [TID, ...]}`, PIDs and TIDs as
the host counts. Every thread of the processes is seized and stands still; the free ones are let
run, with every signal blocked, so that no handler of the app runs in them. Answer: `{}` or
`{"error": TEXT}`. Any further packet lets all go on; if the agent hangs up instead, all are
killed, since nothing of theirs may run without its GPU.

Standard library only.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, os.path.realpath(__file__).rsplit("/", 4)[0])

from agent.cuda.hold import ptrace

_ALL = (1 << 64) - 1
_STOP_SECONDS = 10.0
_LOOK_MILLISECONDS = 10


def _threads(process: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{process}/task")}  # noqa: PTH208
    except FileNotFoundError:
        return set()


def _stopped(thread: int) -> bool:
    """Whether `thread`, which is seized, has come to a stop that nobody took note of yet."""
    found, status = os.waitpid(thread, ptrace.WALL | os.WNOHANG)
    if found and not os.WIFSTOPPED(status):
        raise ProcessLookupError(thread)
    return bool(found)


def _stop(thread: int) -> None:
    """Stop a seized thread, unless it came to a stop as it was seized (group stop)."""
    if _stopped(thread):
        return
    ptrace.call(ptrace.INTERRUPT, thread)
    deadline = time.monotonic() + _STOP_SECONDS
    while not _stopped(thread):
        if time.monotonic() > deadline:
            raise TimeoutError(f"thread {thread} does not stop")
        time.sleep(0.0002)


class _Held:
    """Processes under ptrace. masks: which signals the free threads blocked before."""

    def __init__(self, processes: list[int], free: list[int]) -> None:
        self._processes = processes
        self._free = free
        self._seized: set[int] = set()
        self._masks: dict[int, int] = {}

    def hold(self) -> None:
        """Stop every thread, then let the free ones run."""
        for process in self._processes:
            # A thread that still runs can make another; those of a stopped process cannot.
            while new := _threads(process) - self._seized:
                for thread in new:
                    self._seize(thread)
        for process in self._processes:
            # Ends the stop that CRIU left the process in: a thread that a free one makes would
            # join it. The seized ones stay where they are.
            os.kill(process, signal.SIGCONT)
        for thread in self._free:
            self._masks[thread] = ptrace.swap_signal_mask(thread, _ALL)
            ptrace.call(ptrace.CONT, thread)

    def _seize(self, thread: int) -> None:
        self._seized.add(thread)
        with contextlib.suppress(ProcessLookupError):
            ptrace.call(ptrace.SEIZE, thread, 0, ptrace.O_EXITKILL)
            _stop(thread)

    def await_word(self, channel: socket.socket) -> bytes:
        """The agent's next packet. Until then the free threads are kept running: one that was
        stopped and interrupted at once stops twice, and SIGSTOP cannot be blocked."""
        poller = select.poll()
        poller.register(channel, select.POLLIN)
        while not poller.poll(_LOOK_MILLISECONDS):
            for thread in self._free:
                if _stopped(thread):
                    ptrace.call(ptrace.CONT, thread)
        return channel.recv(16)

    def release(self) -> None:
        """Let everything run on, as if nobody had ever stopped it."""
        for thread, mask in self._masks.items():
            with contextlib.suppress(ProcessLookupError):
                _stop(thread)
                ptrace.swap_signal_mask(thread, mask)
        for thread in self._seized:
            with contextlib.suppress(ProcessLookupError):
                ptrace.call(ptrace.DETACH, thread)

    def kill(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def main() -> int:
    """Hold what the agent names until it says go, or hangs up."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    asked = json.loads(channel.recv(1 << 20) or b"null")
    if asked is None:
        return 0
    held = _Held(asked["processes"], asked["free"])
    try:
        held.hold()
        channel.send(b"{}")
        go = held.await_word(channel)
    except (OSError, TimeoutError) as error:
        with contextlib.suppress(OSError):
            channel.send(json.dumps({"error": str(error)}).encode())
        go = b""
    if not go:
        held.kill()
        return 1
    held.release()
    channel.send(b"{}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
