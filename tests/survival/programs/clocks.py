"""Tells how its clocks go: a monotonic one, one of the day, and timers that hang on each."""

import ctypes
import os
import struct
import threading
import time

import asking

REALTIME, MONOTONIC, BOOTTIME = 0, 1, 7
ABSOLUTE = 1
libc = ctypes.CDLL(None, use_errno=True)
start = {"monotonic": time.monotonic(), "boottime": time.clock_gettime(BOOTTIME)}
last = [time.monotonic()]
backwards = []


def timer(clock, seconds, flags=0):
    made = libc.timerfd_create(clock, os.O_NONBLOCK)
    due = time.clock_gettime(clock) + seconds if flags else seconds
    value = struct.pack("qqqq", 0, 0, int(due), int(due % 1 * 1e9))
    assert libc.timerfd_settime(made, flags, value, None) == 0
    return made


def left(made):
    value = ctypes.create_string_buffer(32)
    libc.timerfd_gettime(made, value)
    seconds, nanoseconds = struct.unpack("qqqq", value.raw)[2:]
    return seconds + nanoseconds / 1e9


timers = {
    "monotonic": timer(MONOTONIC, 10_000),
    "monotonic absolute": timer(MONOTONIC, 10_000, ABSOLUTE),
    "realtime absolute": timer(REALTIME, 10_000, ABSOLUTE),
}
event = threading.Event()


def watch():
    while True:
        now = time.monotonic()
        if now < last[0]:
            backwards.append(last[0] - now)
        last[0] = now
        event.wait(0.02)


threading.Thread(target=watch, daemon=True).start()


def tell():
    before = time.monotonic()
    event.wait(0.05)
    return {
        "since start": time.monotonic() - start["monotonic"],
        "boottime since start": time.clock_gettime(BOOTTIME) - start["boottime"],
        "monotonic": time.monotonic(),
        "day": time.time(),
        "backwards": backwards,
        "waited": time.monotonic() - before >= 0.04,
        "left": {name: left(made) for name, made in timers.items()},
    }


asking.serve(tell)
