"""A family: a chain of children joined by pipes, a group of its own, an orphan, and with `daemon`
one that left its session as daemons do. Each member tells who it is.
"""

import os
import signal
import socket
import sys

import asking

members = {}


def member(name, prepare=lambda: None):
    """A child that answers who it is."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        prepare()
        live(theirs)
    theirs.close()
    members[name] = ours


def live(mine):
    asked = 0
    while mine.recv(1):
        asked += 1
        known = os.getpid(), os.getppid(), os.getsid(0), os.getpgid(0), asked
        mine.send(" ".join(map(str, known)).encode())
    os._exit(0)


def orphan():
    """Its parent ends; the leader of its session lives."""
    if os.fork():
        os._exit(0)


def daemon():
    """The leader of its session, which it does not lead itself, ends."""
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)


def chain(depth, reader, writer):
    """Each adds a letter and passes it on to a child of its own."""
    if depth == 0:
        while text := os.read(reader, 100):
            os.write(writer, text)
        os._exit(0)
    below, to_below = os.pipe()
    if os.fork() == 0:
        os.close(to_below)
        chain(depth - 1, below, writer)
    while text := os.read(reader, 100):
        os.write(to_below, text + b"x")
    os._exit(0)


down, to_down = os.pipe()
up, to_up = os.pipe()
if os.fork() == 0:
    chain(5, down, to_up)
member("group", prepare=lambda: os.setpgid(0, 0))
member("session", prepare=os.setsid)
member("orphan", prepare=orphan)
if "daemon" in sys.argv:
    member("daemon", prepare=daemon)
stopped = os.fork()
if stopped == 0:
    signal.pause()
os.kill(stopped, signal.SIGSTOP)


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def tell():
    os.write(to_down, b"+")
    told = {"chain": os.read(up, 100).decode(), "stopped": state(stopped)}
    for name, socket_of in members.items():
        socket_of.settimeout(30)
        socket_of.send(b"?")
        pid, parent, session, group, asked = map(int, socket_of.recv(100).split())
        told[name] = {
            "pid": pid,
            "parent": "me" if parent == os.getpid() else parent,
            "session": session,
            "group": group,
            "asked": asked,
        }
    return told


asking.serve(tell)
