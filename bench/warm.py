"""Free memory that this machine has at hand.

A virtual machine gives memory that was free for some seconds back to its host (free page reporting)
and gets it again page by page, at a tenth of the speed of memory. What is compared is not the host.
"""

import subprocess
import sys
from typing import Final

from bench import machine

_MARGIN_BYTES: Final = 256 << 20
_TOUCH: Final = """
import ctypes, mmap, os, sys, threading
size = int(sys.argv[1])
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_HUGEPAGE)
first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
share = -(-size // len(os.sched_getaffinity(0)))
threads = [
    threading.Thread(target=ctypes.memset, args=(first + at, 1, min(share, size - at)))
    for at in range(0, size, share)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def warm(size_bytes: int) -> None:
    """So much of it was in use a moment ago; not more than is free, as a cache of files is not to
    be driven out."""
    touched = min(size_bytes + _MARGIN_BYTES, machine.free_bytes() - _MARGIN_BYTES)
    if touched > 0:
        words = [sys.executable, "-I", "-S", "-c", _TOUCH, str(touched)]
        subprocess.run(words, check=True)
