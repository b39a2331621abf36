"""A tree of processes whose memory is laid out at random from a seed, and then stands still.

Run: layout.py SEED MEBIBYTES. `ready` is printed by the first process once all of them are.
"""

import ctypes
import mmap
import os
import random
import signal
import sys

PAGE = mmap.PAGESIZE
PROT_NONE, PROT_READ = 0, 1
MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x2, 0x20, 0x100
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def mapped(size, flags=MAP_PRIVATE | MAP_ANONYMOUS, descriptor=-1, offset=0):
    """An address; never unmapped by Python."""
    found = libc.mmap(None, ctypes.c_size_t(size), 3, flags, descriptor, ctypes.c_long(offset))
    assert found not in (None, ctypes.c_void_p(-1).value), os.strerror(ctypes.get_errno())
    return found


def bytes_of(source, size):
    return source.randbytes(size)


def fill(source, address, size):
    """Write some of its pages, in one of many ways."""
    pages = size // PAGE
    way = source.choice(("all", "all", "zero", "half", "alternate", "sparse", "holes", "prefix"))
    if way == "all":
        ctypes.memmove(address, bytes_of(source, size), size)
    elif way == "zero":
        ctypes.memset(address, 0, size)
    elif way == "half":
        ctypes.memset(address, 0, size)
        ctypes.memmove(address + size // 2, bytes_of(source, size - size // 2), size - size // 2)
    elif way == "prefix":
        part = source.randrange(1, pages + 1) * PAGE
        ctypes.memmove(address, bytes_of(source, part), part)
    else:
        step = {"alternate": 2, "sparse": source.randrange(16, 600), "holes": 1}[way]
        for page in range(0, pages, step):
            if way != "holes" or source.random() < 0.8:
                ctypes.memmove(address + page * PAGE, bytes_of(source, 64), 64)


def some_size(source, most):
    """From a page to `most` bytes, small ones as often as large ones."""
    return max(1, int(2 ** source.uniform(0, (most // PAGE).bit_length() - 1))) * PAGE


def one(source, most):
    """One mapping; its address and size."""
    kind = source.choice(
        ("private", "private", "private", "read-only", "none", "file", "shared", "memfd",
         "huge", "split", "stack", "readonly-part")
    )  # fmt: skip
    size = some_size(source, most)
    if kind in ("private", "read-only", "none", "split", "readonly-part"):
        address = mapped(size)
        fill(source, address, size)
        if kind == "read-only":
            libc.mprotect(address, size, PROT_READ)
        elif kind == "none":
            libc.mprotect(address, size, PROT_NONE)
        elif kind == "split" and size > 2 * PAGE:
            libc.munmap(address + size // 2 // PAGE * PAGE, PAGE)
        elif kind == "readonly-part" and size > 4 * PAGE:
            libc.mprotect(address + size // 4 // PAGE * PAGE, size // 2 // PAGE * PAGE, PROT_READ)
    elif kind == "huge":
        size = max(size, 2 << 20)
        address = mapped(size)
        libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), 14)
        fill(source, address, size)
    elif kind == "stack":
        address = mapped(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN)
        fill(source, address, size)
    elif kind == "file":
        path = f"/tmp/file-{source.getrandbits(32)}"
        with open(path, "wb") as file:
            file.write(bytes_of(source, size))
        descriptor = os.open(path, os.O_RDONLY)
        address = mapped(size, MAP_PRIVATE, descriptor)
        os.close(descriptor)
        # Pages that are zero in memory and are not in the file, beside others.
        for _ in range(source.randrange(1, 5)):
            at = source.randrange(0, size // PAGE) * PAGE
            part = min(size - at, some_size(source, size))
            ctypes.memset(address + at, source.choice((0, 0, 7)), part)
    else:
        descriptor = -1
        if kind == "memfd":
            descriptor = os.memfd_create("layout")
            os.ftruncate(descriptor, size + 16 * PAGE)
        address = mapped(size, 0x1 | (MAP_ANONYMOUS if kind == "shared" else 0), descriptor,
                         PAGE * source.randrange(0, 16) if kind == "memfd" else 0)  # fmt: skip
        fill(source, address, size)
        if kind == "memfd" and source.random() < 0.5:
            mapped(size, 0x1, descriptor)  # again, at another place of it
    return kind, address, size


def change(source, made):
    """What a child does to what it inherited."""
    for kind, address, size in made:
        if kind in ("private", "huge") and source.random() < 0.6:
            at = source.randrange(0, size // PAGE) * PAGE
            part = min(size - at, some_size(source, size))
            act = source.choice(("write", "zero", "unmap", "forget"))
            if act == "write":
                ctypes.memmove(address + at, bytes_of(source, part), part)
            elif act == "zero":
                ctypes.memset(address + at, 0, part)
            elif act == "unmap":
                libc.munmap(address + at, part)
            else:
                libc.madvise(ctypes.c_void_p(address + at), ctypes.c_size_t(part), 4)


def live(source, most, depth):
    """One process, and those below it, which have all said that they are there."""
    made = []
    left = most
    while left > PAGE:
        made.append(one(source, left))
        left -= made[-1][2]
    for _ in range(source.randrange(0, 3) if depth else 0):
        seed = source.getrandbits(32)
        said, says = os.pipe()
        if os.fork() == 0:
            os.close(said)
            own = random.Random(seed)
            change(own, made)
            live(own, most // 8, depth - 1)
            os.write(says, b".")
            os.close(says)
            stand()
        os.close(says)
        os.read(said, 1)
        os.close(said)


def stand():
    """Still, so that no byte changes any more."""
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    live(random.Random(int(sys.argv[1])), int(sys.argv[2]) << 20, 2)
    print("ready", flush=True)
    stand()
