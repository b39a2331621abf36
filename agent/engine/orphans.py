"""Orphans of a restored tree stay in the tree: its root is made their reaper before they are made.

CRIU makes a process whose session's leader is not its parent through a helper that ends at once.
Whose child it is then, the kernel decides when the helper ends; but CRIU makes the root a child
subreaper at the very end, so it would be PID 1's, and no second capture could take it. At CRIU's
`setup-namespaces` point the root waits, alone, and can be made to call prctl(2) itself.
"""

import ctypes
import os
import platform
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from agent.criu import framing
from agent.criu.bundle import Bundle, messages
from agent.cuda.hold import ptrace
from agent.kernel import process
from agent.runtime.target import Target
from chrek.ids import NamespacePID

POINT: Final = "setup-namespaces"
_SYSCALL: Final = 24
_GETREGSET, _SETREGSET, _SETOPTIONS = 0x4204, 0x4205, 0x4200
_O_TRACESYSGOOD: Final = 1
_NT_PRSTATUS: Final = 1
_SYS_PRCTL: Final = 157
_PR_SET_CHILD_SUBREAPER: Final = 36
_INSTRUCTION: Final = b"\x0f\x05"
_RESTARTS: Final = range(-516, -511)
"""-ERESTART_RESTARTBLOCK to -ERESTARTSYS: the call is to be made again."""
_ALL_SIGNALS: Final = (1 << 64) - 1
_NONE: Final = (1 << 64) - 1
_STOPS: Final = 50
_MOMENT_SECONDS: Final = 0.001


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


def keep(target: Target, root: NamespacePID) -> None:
    """Make `root`, that CRIU has just made in `target`, a child subreaper. Where that does not work
    orphans become PID 1's children: they run as well."""
    if platform.machine() != "x86_64":
        return
    found = process.in_pid_namespace(target.init)
    task = next((each.host_pid for each in found if each.pid == root), None)
    if task is None:
        return
    try:
        ptrace.call(ptrace.SEIZE, task, 0, _O_TRACESYSGOOD)
    except OSError:
        return
    try:
        _stop_in_call(task)
        mask = ptrace.swap_signal_mask(task, _ALL_SIGNALS)
        try:
            _have_call(task)
        finally:
            ptrace.swap_signal_mask(task, mask)
    except OSError:
        return
    finally:
        with suppress(OSError):  # it ended, and so does the restore
            ptrace.call(ptrace.DETACH, task)


def _stop_in_call(task: int) -> None:
    """It tells CRIU that it waits a moment before it does."""
    for _ in range(_STOPS):
        ptrace.call(ptrace.INTERRUPT, task)
        _next_stop(task)
        found = _registers(task)
        if found.orig_rax != _NONE and _bytes(task, found.rip - 2) == _INSTRUCTION:
            return
        ptrace.call(ptrace.CONT, task)
        time.sleep(_MOMENT_SECONDS)
    raise OSError("it does not wait")


def _have_call(task: int) -> None:
    """It waits in a system call: the instruction before its next one makes another."""
    before = _registers(task)
    call = _Registers.from_buffer_copy(before)
    call.rip, call.rax, call.orig_rax = before.rip - 2, _SYS_PRCTL, _NONE
    call.rdi, call.rsi, call.rdx, call.r10, call.r8 = _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0
    after = _Registers.from_buffer_copy(before)
    after.orig_rax = _NONE
    if ctypes.c_int64(before.rax).value in _RESTARTS:
        after.rip, after.rax = before.rip - 2, before.orig_rax
    _set_registers(task, call)
    try:
        for _ in ("entry", "exit"):
            _to_syscall(task)
    finally:
        _set_registers(task, after)


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
