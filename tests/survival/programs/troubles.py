"""Does one thing that cannot be captured, named by the first argument, and goes on."""

import ctypes
import fcntl
import mmap
import os
import pty
import signal
import socket
import struct
import sys
import time

import asking

libc = ctypes.CDLL(None, use_errno=True)
IPC_PRIVATE, IPC_CREAT = 0, 0o1000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
kept = []


def needs(result):
    """What a kernel may not have."""
    if result < 0:
        print("unable:", os.strerror(ctypes.get_errno()), flush=True)


def sysv_memory():
    segment = libc.shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0o600)
    libc.shmat.restype = ctypes.c_void_p
    kept.append(libc.shmat(segment, None, 0))


def sysv_memory_unmapped():
    assert libc.shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0o600) >= 0


def sysv_semaphores():
    assert libc.semget(IPC_PRIVATE, 3, IPC_CREAT | 0o600) >= 0


def sysv_messages():
    assert libc.msgget(IPC_PRIVATE, IPC_CREAT | 0o600) >= 0


def message_queue():
    libc.mq_open.restype = ctypes.c_int
    made = libc.mq_open(b"/queue", os.O_CREAT | os.O_RDWR, 0o600, None)
    assert made >= 0, ctypes.get_errno()
    libc.mq_send(made, b"text", 4, 0)


def namespace_file():
    kept.append(os.open("/proc/self/ns/net", os.O_RDONLY))


def traced():
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    assert libc.ptrace(0x4206, child, 0, 0) == 0  # PTRACE_SEIZE


def packet():
    kept.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))


def raw():
    kept.append(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))


def other_socket(*kind):
    try:
        kept.append(socket.socket(*kind))
    except OSError as error:
        print("unable:", error, flush=True)


def vsock():
    other_socket(socket.AF_VSOCK, socket.SOCK_STREAM)


def mptcp():
    other_socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    kept[0].bind(("0.0.0.0", 7000))
    kept[0].listen()


def terminal():
    child, _ = pty.fork()
    if child == 0:
        while True:
            time.sleep(1)


def nested():
    child = os.fork()
    if child == 0:
        needs(libc.unshare(CLONE_NEWUSER | CLONE_NEWPID))
        os.fork()
        while True:
            time.sleep(1)


def network():
    child = os.fork()
    if child == 0:
        needs(libc.unshare(CLONE_NEWUSER | CLONE_NEWNET))
        while True:
            time.sleep(1)


def user():
    child = os.fork()
    if child == 0:
        needs(libc.unshare(CLONE_NEWUSER))
        while True:
            time.sleep(1)


def sealed():
    held = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(held, 4096)
    fcntl.fcntl(held, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    kept.append(mmap.mmap(held, 4096, prot=mmap.PROT_READ))


def watched_and_gone():
    held = os.open("/var/tmp/watched", os.O_CREAT | os.O_RDWR)
    notify = libc.inotify_init1(0)
    assert libc.inotify_add_watch(notify, b"/var/tmp/watched", 2) > 0
    os.remove("/var/tmp/watched")
    kept.append(held)


def userfaultfd():
    needs(libc.syscall(323, 1))


def landlock():
    attributes = struct.pack("Q", 1)
    needs(libc.syscall(444, attributes, 8, 0))


def secret_memory():
    needs(libc.syscall(447, 0))


def nothing():
    pass


def packet_ring():
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    made.setsockopt(263, 5, struct.pack("IIII", 4096, 4, 2048, 8))  # SOL_PACKET, PACKET_RX_RING
    kept.extend([made, mmap.mmap(made.fileno(), 4096 * 4)])


globals()[sys.argv[1]]()


def tell():
    return "alive"


asking.serve(tell)
