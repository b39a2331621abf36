"""Small when it starts. Asked to grow by so many MiB, it does: private memory that is full, and
read-only then if that is asked for too. It tells its token."""

import ctypes
import mmap
import os
import sys

sys.path.insert(0, "/programs")
import asking

libc = ctypes.CDLL(None, use_errno=True)
HELD = []
TOKEN = os.urandom(8).hex()


def tell(mebibytes="0", rights="writable"):
    size = int(mebibytes) << 20
    if size:
        grown = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for start in range(0, size, 1 << 20):
            grown[start : start + (1 << 20)] = os.urandom(1 << 20)
        HELD.append(grown)
        if rights == "read-only":
            address = ctypes.addressof(ctypes.c_char.from_buffer(grown))
            place = ctypes.c_void_p(address), ctypes.c_size_t(size)
            assert libc.mprotect(*place, mmap.PROT_READ) == 0
    return TOKEN


asking.serve(tell)
