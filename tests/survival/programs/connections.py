"""Holds TCP connections in every state that a server's have, and a listener that accepts late."""

import os
import socket

import asking

server = socket.create_server(("0.0.0.0", 7000), backlog=16)
accepted = []


def tell(word="look"):
    if word == "accept":
        server.settimeout(20)
        accepted.append(server.accept()[0])
        accepted[-1].settimeout(20)
    if word == "half-close":
        accepted[-1].shutdown(socket.SHUT_WR)
    if word == "refuse":
        server.close()
    states = {}
    with open("/proc/net/tcp") as file:
        for row in file.readlines()[1:]:
            states[row.split()[3]] = states.get(row.split()[3], 0) + 1
    said = []
    for connection in accepted:
        try:
            connection.settimeout(0.2)
            said.append(connection.recv(100).decode())
        except OSError as error:
            said.append(type(error).__name__)
    return {"states": states, "said": said, "pid": os.getpid()}


asking.serve(tell)
