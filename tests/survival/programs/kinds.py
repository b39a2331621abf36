"""Holds one of everything that a program may have open or mapped; tells what each does when used.

Every function makes a thing and returns another that uses it, again and again. Arguments: names of
kinds, default all.
"""

import array
import ctypes
import errno
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time

import asking

libc = ctypes.CDLL(None, use_errno=True)
HOME = "/var/tmp/kinds"
SYS_PIDFD_SEND_SIGNAL = 424
SYS_SIGNALFD4 = 289 if os.uname().machine == "x86_64" else 74
SIGNAL_SET_BYTES = 8
F_OFD_SETLK = 37
F_SETLEASE, F_GETLEASE = 1024, 1025
REALTIME, MONOTONIC = 0, 1
TFD_TIMER_ABSTIME = 1


def path(name):
    return f"{HOME}/{name}"


def in_child(work):
    """What `work` returns in a child of its own: a word."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = work()
        except OSError as error:
            said = errno.errorcode[error.errno]
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    said = os.read(reader, 100).decode()
    os.close(reader)
    return said


def eventfd():
    event = libc.eventfd(3, 0)

    def use():
        (value,) = struct.unpack("Q", os.read(event, 8))
        os.write(event, struct.pack("Q", value))
        return value

    return use


def signalfd():
    mask = ctypes.c_uint64(1 << (signal.SIGUSR1 - 1))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signals = libc.syscall(SYS_SIGNALFD4, -1, ctypes.byref(mask), SIGNAL_SET_BYTES, 0)
    assert signals >= 0

    def use():
        os.kill(os.getpid(), signal.SIGUSR1)
        return struct.unpack_from("I", os.read(signals, 128))[0] == signal.SIGUSR1

    return use


def pending_signal():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGRTMIN])
    os.kill(os.getpid(), signal.SIGUSR2)
    for _ in range(3):  # real-time ones queue
        os.kill(os.getpid(), signal.SIGRTMIN)

    def use():
        queued = 0
        while signal.sigtimedwait([signal.SIGRTMIN], 0):
            queued += 1
        for _ in range(queued):
            os.kill(os.getpid(), signal.SIGRTMIN)
        return [signal.SIGUSR2 in signal.sigpending(), queued]

    return use


def timerfd():
    timer = libc.timerfd_create(MONOTONIC, os.O_NONBLOCK)
    every = struct.pack("qqqq", 0, 20_000_000, 0, 20_000_000)
    assert libc.timerfd_settime(timer, 0, every, None) == 0

    def use():
        select.select([timer], [], [])
        os.read(timer, 8)
        select.select([timer], [], [])
        return "ticks"

    return use


def inotify():
    os.makedirs(path("watched"), exist_ok=True)
    watched = os.open(path("watched/file"), os.O_CREAT | os.O_RDWR)
    notify = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(notify, path("watched").encode(), 0x100 | 0x200) > 0  # created
    assert libc.inotify_add_watch(notify, path("watched/file").encode(), 0x2) > 0  # modified

    def use():
        os.write(watched, b"x")
        os.close(os.open(path("watched/new"), os.O_CREAT))
        os.remove(path("watched/new"))
        content, heard = os.read(notify, 4096), []
        while content:
            number, _, _, size = struct.unpack_from("iIII", content)
            heard.append([number, content[16 : 16 + size].rstrip(b"\0").decode()])
            content = content[16 + size :]
        return heard

    return use


def pidfd():
    child = os.fork()
    if child == 0:
        while True:
            signal.pause()
    held = os.pidfd_open(child)

    def use():
        poll = select.poll()
        poll.register(held, select.POLLIN)
        sent = libc.syscall(SYS_PIDFD_SEND_SIGNAL, held, 0, None, 0)
        return [poll.poll(0), sent]

    return use


def epoll():
    reader, writer = os.pipe()
    other_reader, other_writer = os.pipe()
    poll = select.epoll()
    poll.register(reader, select.EPOLLIN | select.EPOLLONESHOT)
    poll.register(other_reader, select.EPOLLIN | select.EPOLLET)
    os.write(writer, b"waits")

    def use():
        os.write(other_writer, b".")
        ready = {number for number, _ in poll.poll(1)}
        ready |= {number for number, _ in poll.poll(0.1)}
        os.read(other_reader, 10)
        poll.modify(reader, select.EPOLLIN | select.EPOLLONESHOT)
        return sorted({reader: "oneshot", other_reader: "edge"}[number] for number in ready)

    return use


def pipes():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, 1031, 1 << 18)  # F_SETPIPE_SZ
    os.write(writer, b"in a pipe")
    os.mkfifo(path("fifo"))
    fifo = os.open(path("fifo"), os.O_RDWR)
    os.write(fifo, b"in a fifo")

    def use():
        found = os.read(reader, 100), os.read(fifo, 100)
        os.write(writer, found[0])
        os.write(fifo, found[1])
        return [found[0].decode(), found[1].decode(), fcntl.fcntl(writer, 1032)]

    return use


def socket_pairs():
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)
    pairs = [socket.socketpair(socket.AF_UNIX, kind) for kind in kinds]
    for left, _ in pairs:
        left.send(b"in a socket")

    def use():
        found = [right.recv(100).decode() for _, right in pairs]
        for (left, right), text in zip(pairs, found):
            left.send(text.encode())
            right.send(b"back")
            left.recv(100)
        return found

    return use


def passed_descriptor():
    left, right = socket.socketpair()
    with open(path("passed"), "w+b") as file:
        file.write(b"passed")
        file.flush()
        rights = array.array("i", [file.fileno()])
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def use():
        _, ancillary, _, _ = right.recvmsg(10, socket.CMSG_SPACE(4))
        (number,) = array.array("i", ancillary[0][2])
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [number]))])
        found = os.pread(number, 100, 0).decode()
        os.close(number)
        return found

    return use


def unix_server():
    server = socket.socket(socket.AF_UNIX)
    server.bind(path("server"))
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(path("server"))
    accepted, _ = server.accept()
    client.send(b"asked")

    def use():
        found = accepted.recv(100).decode()
        client.send(found.encode())
        fresh = socket.socket(socket.AF_UNIX)
        fresh.connect(path("server"))
        other, _ = server.accept()
        fresh.send(b"new")
        return [found, other.recv(100).decode()]

    return use


def unix_backlog():
    server = socket.socket(socket.AF_UNIX)
    server.bind(path("backlog"))
    server.listen(8)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path("backlog"))
    client.send(b"early")
    accepted = []

    def use():
        if not accepted:
            server.settimeout(5)
            accepted.append(server.accept()[0])
            accepted[0].settimeout(5)
        found = accepted[0].recv(100).decode()
        client.send(found.encode())
        return found

    return use


def udp():
    sockets = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((host, 0))
        client = socket.socket(family, socket.SOCK_DGRAM)
        client.connect(server.getsockname())
        sockets.append((server, client))

    def use():
        found = []
        for server, client in sockets:
            client.send(b"datagram")
            server.settimeout(5)
            found.append(server.recv(100).decode())
        return found

    return use


def tcp_options():
    server = socket.socket(socket.AF_INET6)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.bind(("::", 7000))
    server.listen(50)
    second = socket.socket(socket.AF_INET6)
    second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    second.bind(("::", 7000))
    second.listen(50)
    unlistened = socket.socket()
    unlistened.bind(("127.0.0.1", 7001))
    fresh = socket.socket()

    def use():
        connections = []
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", 7000))
            ready, _, _ = select.select([server, second], [], [], 5)
            connections.append((client, ready[0].accept()))
        kept = [
            server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR),
            server.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        ]
        return [len(connections), kept, unlistened.getsockname(), fresh.getsockname()]

    return use


def netlink():
    held = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    held.bind((0, 0))

    def use():
        held.send(struct.pack("IHHII", 17, 18, 0x301, 1, 0) + b"\0")  # RTM_GETLINK, dump
        kinds = set()
        while 3 not in kinds:  # NLMSG_DONE
            kinds.add(struct.unpack_from("IH", held.recv(65536))[1])
        return sorted(kinds)

    return use


def tmpfile():
    held = os.open(HOME, os.O_TMPFILE | os.O_RDWR)
    os.write(held, b"without a name")
    in_memory = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    os.write(in_memory, b"nor there")
    return lambda: [os.pread(number, 100, 0).decode() for number in (held, in_memory)]


def deleted():
    held = open(path("deleted"), "w+b", buffering=0)
    held.write(b"deleted but open")
    other = os.dup(held.fileno())
    again = os.open(path("deleted"), os.O_RDONLY)
    os.remove(path("deleted"))
    # Another file has its name now.
    with open(path("deleted"), "w") as file:
        file.write("successor")
    linked = os.open(path("linked"), os.O_CREAT | os.O_RDWR)
    os.write(linked, b"one name left")
    os.link(path("linked"), path("other name"))
    os.remove(path("linked"))
    in_memory = os.open("/dev/shm/deleted", os.O_CREAT | os.O_RDWR)
    os.write(in_memory, b"deleted in memory")
    os.remove("/dev/shm/deleted")

    def use():
        os.lseek(other, 5, os.SEEK_SET)
        return {
            "content": os.pread(again, 100, 0).decode(),
            "same": os.fstat(again).st_ino == os.fstat(other).st_ino,
            "shared offset": os.lseek(held.fileno(), 0, os.SEEK_CUR),
            "successor": open(path("deleted")).read(),
            "linked": os.pread(linked, 100, 0).decode(),
            "other name": open(path("other name")).read(),
            "in memory": os.pread(in_memory, 100, 0).decode(),
            "links": os.fstat(linked).st_nlink,
        }

    return use


def deleted_directory():
    os.makedirs(path("gone"))
    held = os.open(path("gone"), os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir(path("gone"))
    return lambda: [os.listdir(held), os.path.exists(path("gone"))]


def memfd():
    held = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    os.write(held, b"in a memfd")
    fcntl.fcntl(held, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    fcntl.fcntl(held, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    mapped = mmap.mmap(held, 10, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    unsealed = os.memfd_create("mapped")
    os.ftruncate(unsealed, 1 << 20)
    shared = mmap.mmap(unsealed, 1 << 20)
    shared[:6] = b"shared"

    def use():
        try:
            written = os.pwrite(held, b"x", 0)
        except PermissionError:
            written = "sealed"
        found = shared[:6].decode()
        number = os.pread(unsealed, 4, 100)
        shared[100:104] = b"here"
        return {
            "content": os.pread(held, 100, 0).decode(),
            "mapped": mapped[:].decode(),
            "seals": fcntl.fcntl(held, fcntl.F_GET_SEALS),
            "write": written,
            "shared": found,
            "one memory": os.pread(unsealed, 4, 100).decode(),
            "size": os.fstat(unsealed).st_size,
            "was": number in (b"here", bytes(4)),
        }

    return use


def mapped_files():
    def made(name):
        held = os.open(path(name), os.O_CREAT | os.O_RDWR)
        os.write(held, b"f" * (4 * mmap.PAGESIZE))
        return held

    private = mmap.mmap(made("private"), 0, flags=mmap.MAP_PRIVATE)
    private[:7] = b"private"
    shared = mmap.mmap(made("shared"), 0, flags=mmap.MAP_SHARED)
    shared[:6] = b"shared"
    unlinked = mmap.mmap(made("unlinked"), 0, flags=mmap.MAP_SHARED)
    unlinked[:8] = b"unlinked"
    os.remove(path("unlinked"))
    only_read = mmap.mmap(made("only read"), 0, prot=mmap.PROT_READ)
    counter = [0]

    def use():
        counter[0] += 1
        shared[10:14] = f"{counter[0]:4}".encode()
        return {
            "private": private[:8].decode(),
            "untouched page": private[mmap.PAGESIZE : mmap.PAGESIZE + 2].decode(),
            "file under private": open(path("private")).read(8),
            "shared": shared[:6].decode(),
            "file under shared": open(path("shared")).read(14)[:6],
            "goes to the file": open(path("shared")).read(14)[10:] == f"{counter[0]:4}",
            "unlinked": unlinked[:8].decode(),
            "only read": only_read[:2].decode(),
        }

    return use


def anonymous_memory():
    private = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    private[:7] = b"private"
    shared = mmap.mmap(-1, 1 << 20)
    shared[:6] = b"shared"
    for advice in (mmap.MADV_DONTDUMP, mmap.MADV_DONTFORK):
        other = mmap.mmap(-1, 1 << 16, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        other[:4] = b"kept"
        other.madvise(advice)
        anonymous_memory.kept.append(other)
    reader, writer = os.pipe()
    back_reader, back_writer = os.pipe()
    if os.fork() == 0:
        while os.read(reader, 1):
            shared[100] = shared[100] + 1 & 0x7F
            os.write(back_writer, b".")

    def use():
        before = shared[100]
        os.write(writer, b".")
        os.read(back_reader, 1)
        return {
            "private": private[:7].decode(),
            "shared": shared[:6].decode(),
            "with a child": (shared[100] - before) & 0x7F,
            "advised": [other[:4].decode() for other in anonymous_memory.kept],
        }

    return use


anonymous_memory.kept = []


def locks():
    flocked = os.open(path("flocked"), os.O_CREAT | os.O_RDWR)
    fcntl.flock(flocked, fcntl.LOCK_EX)
    posix = os.open(path("posix"), os.O_CREAT | os.O_RDWR)
    os.ftruncate(posix, 100)
    fcntl.lockf(posix, fcntl.LOCK_EX, 10, 20)
    ofd = os.open(path("ofd"), os.O_CREAT | os.O_RDWR)
    fcntl.fcntl(ofd, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))

    def tries(name, take):
        def work():
            take(os.open(path(name), os.O_RDWR))
            return "free"

        return in_child(work)

    def use():
        nonblocking = fcntl.LOCK_EX | fcntl.LOCK_NB
        return {
            "flock": tries("flocked", lambda held: fcntl.flock(held, nonblocking)),
            "posix": tries("posix", lambda held: fcntl.lockf(held, nonblocking, 1, 25)),
            "posix elsewhere": tries("posix", lambda held: fcntl.lockf(held, nonblocking, 1, 50)),
            "ofd": tries("ofd", lambda held: fcntl.lockf(held, nonblocking)),
        }

    return use


def lease():
    held = os.open(path("leased"), os.O_CREAT | os.O_RDONLY)
    fcntl.fcntl(held, F_SETLEASE, fcntl.F_RDLCK)
    return lambda: fcntl.fcntl(held, F_GETLEASE) == fcntl.F_RDLCK


def flags_of_descriptors():
    appended = os.open(path("appended"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(appended, b"0123456789")
    middle = os.open(path("appended"), os.O_RDONLY)
    os.lseek(middle, 4, os.SEEK_SET)
    kept = os.open("/dev/null", os.O_RDWR)
    os.set_inheritable(kept, True)
    o_path = os.open(path("appended"), os.O_PATH)
    high = 900
    os.dup2(middle, high)
    os.chdir(HOME)
    os.umask(0o027)

    def use():
        mask = os.umask(0)
        os.umask(mask)
        return {
            "append": bool(fcntl.fcntl(appended, fcntl.F_GETFL) & os.O_APPEND),
            "offset": os.lseek(high, 0, os.SEEK_CUR),
            "cloexec": [os.get_inheritable(middle), os.get_inheritable(kept)],
            "o_path": os.fstat(o_path).st_size,
            "cwd": os.getcwd(),
            "umask": mask,
        }

    return use


def timers():
    ticks = {"real": 0, "posix": 0}

    def tick(number, frame):
        ticks["real" if number == signal.SIGALRM else "posix"] += 1

    signal.signal(signal.SIGALRM, tick)
    signal.signal(signal.SIGRTMIN + 3, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    signal.setitimer(signal.ITIMER_VIRTUAL, 10_000)
    event = struct.pack("qii48x", 0, signal.SIGRTMIN + 3, 0)  # SIGEV_SIGNAL
    timer = ctypes.c_void_p()
    assert libc.timer_create(MONOTONIC, event, ctypes.byref(timer)) == 0
    every = struct.pack("qqqq", 0, 20_000_000, 0, 20_000_000)
    assert libc.timer_settime(timer, 0, every, None) == 0

    def use():
        before = dict(ticks)
        deadline = time.monotonic() + 30
        while any(ticks[name] <= before[name] for name in ticks) and time.monotonic() < deadline:
            time.sleep(0.01)
        return {name: ticks[name] > before[name] for name in ticks} | {
            "virtual": 9_000 < signal.getitimer(signal.ITIMER_VIRTUAL)[0] < 10_001
        }

    return use


def timers_whose_signals_wait():
    """They go off before anybody looks, in a process of its own; the kernel arms them again when
    the signal is taken."""
    ours, theirs = socket.socketpair()
    waiting = (signal.SIGALRM, signal.SIGRTMIN + 3)
    if os.fork() == 0:
        signal.setitimer(signal.ITIMER_REAL, 0, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        event = struct.pack("qii48x", 0, waiting[1], 0)
        timer = ctypes.c_void_p()
        assert libc.timer_create(MONOTONIC, event, ctypes.byref(timer)) == 0
        every = struct.pack("qqqq", 0, 20_000_000, 0, 20_000_000)
        assert libc.timer_settime(timer, 0, every, None) == 0
        while theirs.recv(1):
            # The first that waits, and two that come.
            took = [all(signal.sigtimedwait([one], 10) for _ in range(3)) for one in waiting]
            theirs.send(b"ticks" if all(took) else f"stopped: {took}".encode())
        os._exit(0)

    def use():
        time.sleep(0.1)
        ours.send(b"?")
        return ours.recv(100).decode()

    return use


KINDS = {
    made.__name__: made
    for made in (
        eventfd, signalfd, pending_signal, timerfd, inotify, pidfd, epoll, pipes, socket_pairs,
        passed_descriptor, unix_server, unix_backlog, udp, tcp_options, netlink, tmpfile, deleted,
        deleted_directory, memfd, mapped_files, anonymous_memory, locks, lease,
        flags_of_descriptors, timers, timers_whose_signals_wait,
    )
}  # fmt: skip

os.makedirs(HOME)
uses = {name: KINDS[name]() for name in sys.argv[1:] or KINDS}


def tell():
    told = {}
    for name, use in uses.items():
        try:
            told[name] = use()
        except Exception as error:
            told[name] = repr(error)
    return told


asking.serve(tell)
