"""A tree of three users, each with groups and capabilities of its own, where that is allowed."""

import contextlib
import ctypes
import os
import time

libc = ctypes.CDLL(None)
PR_SET_KEEPCAPS = 8


def child(uid: int, gid: int, groups: list[int], *, keep: bool) -> None:
    if os.fork():
        return
    if keep:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
    time.sleep(10_000)


child(1000, 1000, [1000, 2000], keep=False)
child(1001, 50, [], keep=True)
time.sleep(0.2)
print("ready", flush=True)
time.sleep(10_000)
