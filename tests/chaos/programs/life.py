"""A program that checks itself: life.py KIND. Questions come as /tmp/ask, answers go to
/tmp/answer: its token, how often each of its parts has come round, what it found wrong.
"""

import fcntl
import json
import mmap
import os
import random
import secrets
import struct
import sys
import threading
import time
from pathlib import Path

TOKEN = secrets.token_hex(8)
WRONG: list[str] = []
BEATS: list[int] = []
MOMENT_SECONDS = 0.01
JOURNAL = Path("/var/tmp/chaos-journal")  # in the container's own root
SHARED = Path("/dev/shm/chaos")


def part(work):
    """A thread that does `work(round)` for ever."""
    number = len(BEATS)
    BEATS.append(0)

    def loop():
        while True:
            try:
                work(BEATS[number])
            except BaseException as error:
                WRONG.append(f"part {number}: {error!r}")
                return
            BEATS[number] += 1
            time.sleep(MOMENT_SECONDS)

    threading.Thread(target=loop, daemon=True).start()


def same(found, wanted, what):
    if found != wanted:
        WRONG.append(f"{what}: {found!r}, not {wanted!r}")


def threads():
    for _ in range(30):
        part(lambda _: None)


def tree():
    """Children that echo what comes through a pipe, one below another."""

    def echo(reader, writer, depth):
        if depth:
            down, up = os.pipe(), os.pipe()
            if os.fork() == 0:
                echo(down[0], up[1], depth - 1)
        while True:
            piece = os.read(reader, 8)
            if not piece:
                os._exit(1)
            if depth:
                os.write(down[1], piece)
                piece = os.read(up[0], 8)
            os.write(writer, piece)

    pairs = []
    for _ in range(2):
        down, up = os.pipe(), os.pipe()
        if os.fork() == 0:
            echo(down[0], up[1], 2)
        pairs.append((down[1], up[0]))

    def ask(pair):
        def work(number):
            os.write(pair[0], struct.pack("q", number))
            same(struct.unpack("q", os.read(pair[1], 8))[0], number, "an echo")

        return work

    for pair in pairs:
        part(ask(pair))


def files():
    """A journal that grows and is read again; a file replaced by another; one that is deleted."""
    JOURNAL.unlink(missing_ok=True)
    journal = os.open(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    hidden = os.open("/var/tmp/chaos-hidden", os.O_RDWR | os.O_CREAT)
    Path("/var/tmp/chaos-hidden").unlink()

    def work(number):
        os.write(journal, b"%08d\n" % number)
        os.write(hidden, b"%08d\n" % number)
        beside = Path("/var/tmp/chaos-state.new")
        beside.write_text(str(number))
        beside.rename("/var/tmp/chaos-state")
        same(Path("/var/tmp/chaos-state").read_text(), str(number), "the state")
        if number % 20 == 0:
            wanted = b"".join(b"%08d\n" % each for each in range(number + 1))
            same(JOURNAL.read_bytes() == wanted, True, "the journal is whole")
            same(os.pread(hidden, len(wanted), 0) == wanted, True, "the hidden is whole")

    part(work)


def shared():
    """Processes that count in memory they share, under a lock."""
    area = mmap.mmap(-1, 4096)
    SHARED.write_bytes(bytes(4096))
    descriptor = os.open(SHARED, os.O_RDWR)
    named = mmap.mmap(descriptor, 4096)

    def count(lock):
        with lock:
            for memory in (area, named):
                first, second = struct.unpack_from("qq", memory)
                if first != second:
                    return "halves differ"
                struct.pack_into("q", memory, 0, first + 1)
                struct.pack_into("q", memory, 8, second + 1)
        return None

    class Lock:
        def __init__(self):
            self.descriptor = os.open(SHARED, os.O_RDWR)

        def __enter__(self):
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)

        def __exit__(self, *_):
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    for _ in range(2):
        if os.fork() == 0:
            lock = Lock()
            while True:
                said = count(lock)
                if said:
                    struct.pack_into("q", area, 16, 1)
                time.sleep(MOMENT_SECONDS)
    lock, seen = Lock(), [0]

    def work(_):
        said = count(lock)
        same(said, None, "shared memory")
        same(struct.unpack_from("q", area, 16)[0], 0, "a child's look at it")
        seen[0] = struct.unpack_from("q", named)[0]

    part(work)


def restless():
    """Forks, execs and exits at any instant."""

    def work(_):
        code = random.randrange(100)
        child = os.fork()
        if child == 0:
            time.sleep(random.uniform(0, 0.01))
            if code % 2:
                os._exit(code)
            os.execv("/bin/sh", ["sh", "-c", f"exit {code}"])
        same(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), code, "a child's status")

    part(work)

    def thread(_):
        once = threading.Thread(target=time.sleep, args=(random.uniform(0, 0.01),))
        once.start()
        once.join()

    part(thread)


def large():
    """Memory that does not go through CRIU, private and shared: a child writes to the shared."""
    page, filling = 4096, os.urandom(4096 - 16)
    private = mmap.mmap(-1, 40 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    common = mmap.mmap(-1, 24 << 20)

    def put(memory, at, number):
        memory[at * page : (at + 1) * page] = struct.pack("qq", at, number) + filling

    def whole(memory, at):
        where, number = struct.unpack_from("qq", memory, at * page)
        right = where == at and memory[at * page + 16 : (at + 1) * page] == filling
        return number if right else None

    for memory in (private, common):
        for at in range(len(memory) // page):
            put(memory, at, 0)
    half = len(common) // page // 2
    if os.fork() == 0:
        number = 0
        while True:
            number += 1
            put(common, half + number % half, number)
            time.sleep(MOMENT_SECONDS)
    numbers = {}

    def work(number):
        for _ in range(50):
            at = random.randrange(len(private) // page)
            same(whole(private, at), numbers.get(at, 0), f"page {at} of its own")
            numbers[at] = number
            put(private, at, number)
            at = random.randrange(half)
            same(whole(common, at), 0, f"page {at} of what is shared")

    part(work)


def main():
    kinds = (threads, tree, files, shared, restless, large)
    {each.__name__: each for each in kinds}[sys.argv[1]]()
    gap, last = 0.0, time.monotonic()
    Path("/tmp/token").write_text(TOKEN)
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        gap, last = max(gap, now - last), now
        try:
            words = Path("/tmp/ask").read_text().split()
        except FileNotFoundError:
            time.sleep(MOMENT_SECONDS)
            continue
        Path("/tmp/ask").unlink()
        if words[:1] == ["exit"]:
            os._exit(int(words[1]))
        told = {"token": TOKEN, "beats": BEATS, "wrong": WRONG[:5], "gap": gap}
        Path("/tmp/answer.new").write_text(json.dumps(told))
        Path("/tmp/answer.new").rename("/tmp/answer")


main()
