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
IPC_PRIVATE, IPC_CREAT, IPC_RMID = 0, 0o1000, 0
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWNS = 0x10000000, 0x20000000, 0x40000000, 0x20000
CLONE_VM, CLONE_VFORK = 0x100, 0x4000
kept = []


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


def alg():
    made = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    made.bind(("hash", "sha256"))
    kept.append(made)


def vsock():
    kept.append(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))


def mptcp():
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    made.bind(("0.0.0.0", 7000))
    made.listen()
    kept.append(made)


def sctp():
    kept.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132))


def terminal():
    child, _ = pty.fork()
    if child == 0:
        while True:
            time.sleep(1)


def nested():
    child = os.fork()
    if child == 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWPID):
            print("cannot", os.strerror(ctypes.get_errno()), flush=True)
        os.fork()
        while True:
            time.sleep(1)


def network():
    child = os.fork()
    if child == 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
            print("cannot", os.strerror(ctypes.get_errno()), flush=True)
        while True:
            time.sleep(1)


def user():
    child = os.fork()
    if child == 0:
        if libc.unshare(CLONE_NEWUSER):
            print("cannot", os.strerror(ctypes.get_errno()), flush=True)
        while True:
            time.sleep(1)


def vfork():
    """The child lives in its parent's memory and neither execs nor ends: the parent stands still,
    and no signal wakes it."""
    os.execv("/programs/vforks", ["vforks"])


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


def bpf():
    attributes = struct.pack("IIIII", 1, 4, 4, 1, 0) + bytes(100)
    print(libc.syscall(321, 0, attributes, 72), flush=True)


def perf():
    attributes = struct.pack("IIQQQQ", 1, 128, 0, 0, 0, 0) + bytes(100)
    print(libc.syscall(298, attributes, 0, -1, -1, 0), ctypes.get_errno(), flush=True)


def userfaultfd():
    print(libc.syscall(323, 1), ctypes.get_errno(), flush=True)


def netlink_unread():
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    made.send(struct.pack("IHHII", 17, 18, 0x301, 1, 0) + b"\0")
    kept.append(made)


def fanotify():
    print(libc.fanotify_init(0, 0), ctypes.get_errno(), flush=True)


def landlock():
    attributes = struct.pack("Q", 1)
    print(libc.syscall(444, attributes, 8, 0), ctypes.get_errno(), flush=True)


def secret_memory():
    print(libc.syscall(447, 0), ctypes.get_errno(), flush=True)


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
