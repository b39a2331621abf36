"""Three mappings: all of one is there, a third of another, and nobody wants huge pages in the last.

Run: thin.py [none]. With `none` the process wants no huge pages at all. Asked, it tells what the
kernel says of each.
"""

import ctypes
import mmap
import os
import sys

sys.path.insert(0, "/programs")
import asking

SIZE = 24 << 20
MADV_NOHUGEPAGE = 15
PR_SET_THP_DISABLE = 41

if sys.argv[1:] == ["none"]:
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def made(step):
    memory = mmap.mmap(-1, SIZE + mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # What is in front of it is not to be joined with it.
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), 0)
    for at in range(mmap.PAGESIZE, SIZE, step):
        memory[at : at + 4096] = os.urandom(4096)
    return memory, address + mmap.PAGESIZE


HELD = {"full": made(4096), "thin": made(3 * 4096), "refused": made(4096)}
HELD["refused"][0].madvise(MADV_NOHUGEPAGE)


def said_of(address):
    """Flags and resident KiB of the mapping that begins there."""
    told, here = {}, False
    with open("/proc/self/smaps") as file:
        for line in file:
            if "-" in line.split()[0] and not line.split()[0].endswith(":"):
                here = (
                    int(line.split("-")[0], 16) <= address < int(line.split("-")[1].split()[0], 16)
                )
            elif here and line.startswith(("VmFlags:", "Rss:")):
                told[line.split(":")[0]] = line.split(":")[1].split()
    return {"huge": "hg" in told["VmFlags"], "KiB": int(told["Rss"][0])}


def tell():
    return {name: said_of(address) for name, (_, address) in HELD.items()}


asking.serve(tell)
