"""Holds memory that it can vouch for: random bytes of its own, memory that it shares, both large.

Run: holding.py MEBIBYTES [REPEATS]. Of its own bytes each piece occurs so often. Asked, it tells
its token and a hash of all it holds.
"""

import hashlib
import mmap
import os
import sys

sys.path.insert(0, "/programs")
import asking

SIZE = int(sys.argv[1]) << 20
REPEATS = int(sys.argv[2]) if len(sys.argv) > 2 else 1
OWN = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for start in range(0, SIZE, 1 << 20):
    OWN[start : start + (1 << 20)] = os.urandom((1 << 20) // REPEATS) * REPEATS
SHARED = mmap.mmap(-1, 24 << 20)
SHARED[:] = os.urandom(24 << 20)
TOKEN = os.urandom(8).hex()


def tell():
    digest = hashlib.blake2b(OWN)
    digest.update(SHARED)
    return [TOKEN, digest.hexdigest()]


asking.serve(tell)
