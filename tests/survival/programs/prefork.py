"""A server that has read much and then forks its workers, which share that memory with it."""

import os
import socket
import sys

import asking

WORKERS = 8
MEBIBYTES = int(sys.argv[1])
block = bytearray(os.urandom(1 << 20) * MEBIBYTES)  # read by all, written by nobody
workers = []
for number in range(WORKERS):
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        own = bytearray(b"own %d" % number)
        while theirs.recv(1):
            middle = len(block) // 2
            theirs.send(b"%s %s" % (own, block[middle : middle + 8].hex().encode()))
        os._exit(0)
    workers.append(ours)


def tell():
    told = []
    for ours in workers:
        ours.send(b"?")
        told.append(ours.recv(100).decode())
    return told


asking.serve(tell)
