"""ptrace(2), as much of it as holding takes. Standard library only."""

import ctypes
import os
from typing import Final

SEIZE: Final = 0x4206
INTERRUPT: Final = 0x4207
CONT: Final = 7
DETACH: Final = 17
GETSIGMASK: Final = 0x420A
SETSIGMASK: Final = 0x420B
O_EXITKILL: Final = 0x00100000
WALL: Final = 0x40000000
"""__WALL for waitpid: threads too."""

_SIGSET_BYTES: Final = 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


def call(request: int, thread: int, address: int = 0, argument: int = 0) -> None:
    """One request; raises OSError."""
    if _libc.ptrace(request, thread, address, argument) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace {request:#x} of {thread}: {os.strerror(code)}")


def swap_signal_mask(thread: int, mask: int) -> int:
    """Set which signals `thread` blocks; what it blocked before."""
    before = ctypes.c_uint64()
    call(GETSIGMASK, thread, _SIGSET_BYTES, ctypes.addressof(before))
    after = ctypes.c_uint64(mask)
    call(SETSIGMASK, thread, _SIGSET_BYTES, ctypes.addressof(after))
    return before.value
