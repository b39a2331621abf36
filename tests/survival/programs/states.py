"""Sets what a process and its sockets can have set, and tells each as the kernel tells it."""

import ctypes
import mmap
import os
import resource
import socket
import struct

import asking

libc = ctypes.CDLL(None, use_errno=True)
(PDEATHSIG, DUMPABLE, KEEPCAPS, NAME, THP_DISABLE, SUBREAPER) = (1, 4, 8, 15, 41, 36)
(GET_PDEATHSIG, GET_DUMPABLE, GET_KEEPCAPS, GET_THP_DISABLE, GET_SUBREAPER) = (2, 3, 7, 42, 37)
SO_BINDTODEVICE = 25


def prctl_pointer(number):
    value = ctypes.c_int()
    assert libc.prctl(number, ctypes.byref(value), 0, 0, 0) == 0
    return value.value


def read(path):
    with open(path) as file:
        return file.read().strip()


def of_process():
    for number, value in ((PDEATHSIG, 15), (THP_DISABLE, 1), (KEEPCAPS, 1), (SUBREAPER, 1)):
        assert libc.prctl(number, value, 0, 0, 0) == 0
    libc.prctl(NAME, b"my name", 0, 0, 0)
    os.nice(5)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")
    resource.setrlimit(resource.RLIMIT_CORE, (100, 200))
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024))
    return lambda: {
        "death signal": prctl_pointer(GET_PDEATHSIG),
        "subreaper": prctl_pointer(GET_SUBREAPER),
        "no huge pages": libc.prctl(GET_THP_DISABLE, 0, 0, 0, 0),
        "keeps capabilities": libc.prctl(GET_KEEPCAPS, 0, 0, 0, 0),
        "name": read("/proc/self/comm"),
        "nice": os.nice(0),
        "oom": read("/proc/self/oom_score_adj"),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    }


def not_dumpable():
    libc.prctl(DUMPABLE, 0, 0, 0, 0)
    return lambda: libc.prctl(GET_DUMPABLE, 0, 0, 0, 0)


def locked_memory():
    block = mmap.mmap(-1, 1 << 16)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    assert libc.mlock(ctypes.c_void_p(address), 1 << 16) == 0

    def tell():
        assert not block[0]
        with open("/proc/self/status") as file:
            return next(line.split()[1] for line in file if line.startswith("VmLck"))

    return tell


def huge_pages():
    block = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    block[:] = b"h" * len(block)
    return lambda: block.find(b"\0")


def directory_gone():
    os.mkdir("/var/tmp/gone")
    os.chdir("/var/tmp/gone")
    os.rmdir("/var/tmp/gone")

    def tell():
        try:
            return os.getcwd()
        except FileNotFoundError:
            return "gone"

    return tell


def other_root():
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        os.makedirs("/var/tmp/root/inner")
        os.chroot("/var/tmp/root")
        os.chdir("/")
        while theirs.recv(1):
            theirs.send(",".join(os.listdir("/")).encode())
        os._exit(0)

    def tell():
        ours.send(b"?")
        return ours.recv(100).decode()

    return tell


def files_of_the_kernel():
    status = os.open("/proc/self/status", os.O_RDONLY)
    size = os.open("/sys/class/net/lo/mtu", os.O_RDONLY)
    return lambda: [os.pread(status, 5, 0).decode(), os.pread(size, 10, 0).decode().strip()]


def options_of_sockets():
    held = socket.socket()
    options = (
        (socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77),
        (socket.IPPROTO_IP, socket.IP_TOS, 16),  # sets the priority too
        (socket.SOL_SOCKET, socket.SO_PRIORITY, 3),
    )
    for level, name, value in options:
        held.setsockopt(level, name, value)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 7, 0))
    held.bind(("0.0.0.0", 9998))
    held.listen(33)
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo\0")
    return lambda: {
        "options": [held.getsockopt(level, name) for level, name, _ in options],
        "waits": struct.unpack("ll", held.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)),
        "device": bound.getsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, 16).rstrip(b"\0").decode(),
    }


def abstract_name():
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0abstract")
    server.listen()

    def tell():
        client = socket.socket(socket.AF_UNIX)
        client.connect("\0abstract")
        client.send(b"reached")
        return server.accept()[0].recv(100).decode()

    return tell


def connecting():
    """To an address of its network that never answers."""
    held = socket.socket()
    held.setblocking(False)
    home = socket.gethostbyname(socket.gethostname()).rpartition(".")[0]
    held.connect_ex((f"{home}.251", 81))

    def tell():
        try:
            return held.send(b"x")
        except OSError:
            return "not connected"

    return tell


STATES = (
    of_process, not_dumpable, locked_memory, huge_pages, directory_gone, other_root,
    files_of_the_kernel, options_of_sockets, abstract_name, connecting,
)  # fmt: skip
told = {make.__name__: make() for make in STATES}


def tell():
    return {name: look() for name, look in told.items()}


asking.serve(tell)
