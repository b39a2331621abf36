"""Holds one of everything that an ordinary program may have open, and says so."""

import ctypes
import fcntl
import mmap
import os
import select
import signal
import socket
import threading
import time
from pathlib import Path

libc = ctypes.CDLL(None)

memfd = os.memfd_create("held", os.MFD_ALLOW_SEALING)
os.write(memfd, b"in a memfd")
pipe_read, pipe_write = os.pipe()
os.write(pipe_write, b"in a pipe")
os.mkfifo("/tmp/fifo")
fifo = os.open("/tmp/fifo", os.O_RDWR)
os.write(fifo, b"in a fifo")
left, right = socket.socketpair()
left.send(b"in a socket")
datagram, _other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
listener = socket.create_server(("127.0.0.1", 9000))
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::1", 9001))
named = socket.socket(socket.AF_UNIX)
named.bind("/tmp/socket")
named.listen()
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
poll = select.epoll()
poll.register(right.fileno(), select.EPOLLIN)
event = libc.eventfd(3, 0)
inotify = libc.inotify_init1(0)
assert libc.inotify_add_watch(inotify, b"/tmp", 0x100) >= 0
timer = libc.timerfd_create(1, 0)
mask = ctypes.c_uint64(1 << (signal.SIGUSR2 - 1))
signals = libc.syscall(289, -1, ctypes.byref(mask), 8, 0)  # signalfd4 of x86_64
deleted = Path("/tmp/deleted").open("w+b")  # noqa: SIM115
deleted.write(b"deleted but open")
deleted.flush()
Path("/tmp/deleted").unlink()
locked = Path("/tmp/locked").open("w+b")  # noqa: SIM115
fcntl.flock(locked, fcntl.LOCK_EX)
terminal, _its_other_end = os.openpty()
os.write(terminal, b"typed")
shared = mmap.mmap(-1, 1 << 16)
shared[:6] = b"shared"
signal.setitimer(signal.ITIMER_REAL, 10_000)
threading.Thread(target=time.sleep, args=(10_000,), daemon=True).start()
print("ready", flush=True)

while not Path("/tmp/ask").exists():
    time.sleep(0.02)
os.lseek(memfd, 0, os.SEEK_SET)
deleted.seek(0)
found = [
    os.read(memfd, 100),
    os.read(pipe_read, 100),
    os.read(fifo, 100),
    right.recv(100),
    deleted.read(),
    bytes(shared[:6]),
    str(poll.poll(0)).encode(),
]
Path("/tmp/answer.new").write_bytes(b"\n".join(found))
Path("/tmp/answer.new").rename("/tmp/answer")
time.sleep(10_000)
