"""A tree of three users: each child has an identity, a file and a socket of its own."""

import os
import socket

import asking

IDENTITIES = ((0, 0, ()), (1000, 1000, (1000, 2000)), (1001, 50, ()))
children = []
os.makedirs("/var/tmp/uids", mode=0o777)
os.chmod("/var/tmp/uids", 0o777)
for uid, gid, groups in IDENTITIES:
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        held = open(f"/var/tmp/uids/{uid}", "w+b", buffering=0)
        os.chmod(f"/var/tmp/uids/{uid}", 0o600)
        held.write(b"of %d" % uid)
        while theirs.recv(1):
            held.seek(0)
            try:
                open("/var/tmp/uids/0").close()
                may = "may"
            except PermissionError:
                may = "may not"
            known = [os.getresuid(), os.getresgid(), sorted(os.getgroups()), held.read(), may]
            theirs.send(repr(known).encode())
        os._exit(0)
    children.append(ours)


def tell():
    told = []
    for ours in children:
        ours.send(b"?")
        told.append(ours.recv(1000).decode())
    return told


asking.serve(tell)
