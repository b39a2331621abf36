"""Much memory and many mappings: so many MiB (the argument) private and full, as much shared and
thinly filled, and 10,000 areas that differ from their neighbours. Tells what does not fit."""

import ctypes
import mmap
import struct
import sys
import zlib

import asking

libc = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE
BYTES = int(sys.argv[1]) << 20
EVERY = 1024 * PAGE
AREAS = 10_000
private = mmap.mmap(-1, BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
shared = mmap.mmap(-1, BYTES)
for offset in range(0, BYTES, PAGE):
    struct.pack_into("Q", private, offset, offset + 1)
for offset in range(0, BYTES, EVERY):
    struct.pack_into("Q", shared, offset, offset + 2)
areas = mmap.mmap(-1, AREAS * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
start = ctypes.addressof(ctypes.c_char.from_buffer(areas))
for number in range(AREAS):
    struct.pack_into("Q", areas, number * PAGE, number)
    if number % 2:
        assert libc.mprotect(ctypes.c_void_p(start + number * PAGE), PAGE, mmap.PROT_READ) == 0


def tell():
    wrong = sum(
        struct.unpack_from("Q", private, offset)[0] != offset + 1
        for offset in range(0, BYTES, PAGE)
    )
    wrong += sum(
        struct.unpack_from("Q", shared, offset)[0] != offset + 2
        for offset in range(0, BYTES, EVERY)
    )
    with open("/proc/self/maps") as file:
        count = len(file.readlines())
    return {
        "wrong": wrong,
        "areas": zlib.crc32(areas),
        "mappings": count > AREAS,
    }


asking.serve(tell)
