"""Orphans of a restored tree stay in the tree: its root is their reaper before they are made.

CRIU makes a process whose session's leader is not its parent through a helper that ends at once.
Whose child it is then, the kernel decides when the helper ends; but CRIU makes the root a child
subreaper at the very end, so it would be PID 1's, and no second capture could take it. So CRIU is
traced until it forks the root, and that made to call prctl(2) before all else.
"""

import asyncio
import ctypes
import os
import platform
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from agent.cuda.hold import ptrace
from agent.kernel import process
from agent.runtime.target import Target
from chrek.errors import ChrekError
from chrek.ids import NamespacePID

POINT: Final = "pre-restore"
"""Where CRIU waits for an answer before it forks."""
_SYSCALL: Final = 24
_GETREGSET, _SETREGSET, _GETEVENTMSG = 0x4204, 0x4205, 0x4201
# PTRACE_O_TRACESYSGOOD, _TRACEFORK, _TRACEVFORK, _TRACECLONE
_OPTIONS: Final = 1 | 2 | 4 | 8
_MADE: Final = (1, 2, 3)
"""PTRACE_EVENT_FORK, _VFORK, _CLONE: a child is there, and stands."""
_NT_PRSTATUS: Final = 1
_SYS_PRCTL: Final = 157
_PR_SET_CHILD_SUBREAPER: Final = 36
_INSTRUCTION: Final = b"\x0f\x05"
_ALL_SIGNALS: Final = (1 << 64) - 1
_NONE: Final = (1 << 64) - 1
_STOPS: Final = 50
_MOMENT_SECONDS: Final = 0.0005
_PATIENCE_SECONDS: Final = 5.0


class _Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx"),
            *("rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base"),
            *("gs_base", "ds", "es", "fs", "gs"),
        )
    )


class _IOVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


def has_any(bundle: Bundle, images: Mapping[str, bytes]) -> bool:
    """Whether CRIU makes any process of these images through a helper."""
    message = messages(bundle.path, "pstree_pb2").pstree_entry
    entries = list(framing.entries(images["pstree.img"], message))
    sessions = {entry.pid: entry.sid for entry in entries}
    return any(
        entry.sid not in (entry.pid, sessions.get(entry.ppid, entry.sid)) for entry in entries
    )


class Keeper:
    """Makes the root that CRIU is about to fork a child subreaper. Where that does not work orphans
    become PID 1's children: they run as well."""

    def __init__(self, target: Target, criu: NamespacePID, root: NamespacePID) -> None:
        self._target, self._criu, self._root = target, criu, root
        self._began, self._stop = threading.Event(), threading.Event()
        self._work: asyncio.Future[None] | None = None

    async def begin(self) -> None:
        """From here on CRIU forks under our eyes."""
        if platform.machine() == "x86_64":
            # All of it in one thread: a tracer is a thread.
            self._work = asyncio.ensure_future(asyncio.to_thread(self._keep))
            await asyncio.to_thread(self._began.wait, _PATIENCE_SECONDS)

    async def end(self) -> None:
        """Let go, if it was not done yet."""
        self._stop.set()
        if self._work is not None:
            await asyncio.gather(self._work, return_exceptions=True)

    def _keep(self) -> None:
        try:
            found = process.in_pid_namespace(self._target.init)
            criu = next(each.host_pid for each in found if each.pid == self._criu)
            ptrace.call(ptrace.SEIZE, criu, 0, _OPTIONS)
            self._began.set()
            _traced(criu, self._root, self._stop)
        except (OSError, StopIteration, ChrekError):
            return  # it has ended, or may not be traced
        finally:
            self._began.set()


def _traced(criu: int, root: NamespacePID, stop: threading.Event) -> None:
    """Follow CRIU until it has forked the root; then, or when told to stop, let it go."""
    try:
        while not stop.is_set():
            found, status = os.waitpid(criu, ptrace.WALL | os.WNOHANG)
            if not found:
                time.sleep(_MOMENT_SECONDS)
                continue
            if not os.WIFSTOPPED(status):
                return
            event = status >> 16
            if event in _MADE and _is_root(child := _message(criu), root):
                _have_call(child)
                _detach(child)
                return
            # What else stops it are signals of its own, and it shall have them.
            ptrace.call(ptrace.CONT, criu, 0, 0 if event else os.WSTOPSIG(status))
        ptrace.call(ptrace.INTERRUPT, criu)
        os.waitpid(criu, ptrace.WALL)
    finally:
        _detach(criu)


def _is_root(child: int, root: NamespacePID) -> bool:
    """Wait for the stop that a traced child begins with; let it go if it is another."""
    _next_stop(child)
    if process.read(child).pid == root:
        return True
    _detach(child)
    return False


def _message(task: int) -> int:
    """The PID of the child that its last event tells of."""
    found = ctypes.c_ulong()
    ptrace.call(_GETEVENTMSG, task, 0, ctypes.addressof(found))
    return found.value


def _detach(task: int) -> None:
    with suppress(OSError):  # it ended, and so does the restore
        ptrace.call(ptrace.DETACH, task)


def _have_call(task: int) -> None:
    """It stands behind the system call that made it: that instruction makes another one."""
    before = _registers(task)
    if _bytes(task, before.rip - len(_INSTRUCTION)) != _INSTRUCTION:
        return
    call = _Registers.from_buffer_copy(before)
    call.rip, call.rax, call.orig_rax = before.rip - len(_INSTRUCTION), _SYS_PRCTL, _NONE
    call.rdi, call.rsi, call.rdx, call.r10, call.r8 = _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0
    mask = ptrace.swap_signal_mask(task, _ALL_SIGNALS)
    _set_registers(task, call)
    try:
        for _ in ("entry", "exit"):
            _to_syscall(task)
    finally:
        _set_registers(task, before)
        ptrace.swap_signal_mask(task, mask)


def _to_syscall(task: int) -> None:
    for _ in range(_STOPS):
        ptrace.call(_SYSCALL, task)
        if _next_stop(task) == signal.SIGTRAP | 0x80:
            return
    raise OSError("it does not come to its system call")


def _next_stop(task: int) -> int:
    _, status = os.waitpid(task, ptrace.WALL)
    if not os.WIFSTOPPED(status):
        raise OSError("it ended")
    return os.WSTOPSIG(status)


def _registers(task: int) -> _Registers:
    found = _Registers()
    vector = _IOVector(ctypes.addressof(found), ctypes.sizeof(found))
    ptrace.call(_GETREGSET, task, _NT_PRSTATUS, ctypes.addressof(vector))
    return found


def _set_registers(task: int, registers: _Registers) -> None:
    vector = _IOVector(ctypes.addressof(registers), ctypes.sizeof(registers))
    ptrace.call(_SETREGSET, task, _NT_PRSTATUS, ctypes.addressof(vector))


def _bytes(task: int, address: int) -> bytes:
    memory = os.open(f"/proc/{task}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(memory, len(_INSTRUCTION), address)
    finally:
        os.close(memory)
