"""Opens an io_uring, which CRIU cannot dump, and goes on."""

import ctypes
import time

parameters = (ctypes.c_char * 120)()
libc = ctypes.CDLL(None, use_errno=True)
ring = libc.syscall(425, 8, parameters)
print("ready" if ring >= 0 else f"no io_uring: {ctypes.get_errno()}", flush=True)
while True:
    time.sleep(1)
