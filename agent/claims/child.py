"""Sends one directory of the host as a detached mount, from a process of its own.

    python -I -S .../agent/claims/child.py SOCKET PID PATH

Only a single-threaded process may enter a mount namespace, and it cannot come back. Standard
library only, all of it imported before it enters: what is imported later is the host's.
"""

import os
import socket
import sys

if __name__ == "__main__":
    # -I leaves this file's directory out of the path; three directories up is the packages'.
    sys.path.insert(0, os.path.realpath(__file__).rsplit("/", 3)[0])

from agent.kernel import calls


def clone(pid: int, path: str) -> int:
    """A detached mount of the directory `path`, as `pid` sees it, without mounts below it."""
    calls.setns(os.pidfd_open(pid), calls.CLONE_NEWNS)
    # Links on the way are followed, as the kubelet and the runtime follow them.
    directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return calls.open_tree(
        directory,
        b"",
        calls.OPEN_TREE_CLONE | calls.OPEN_TREE_CLOEXEC | calls.AT_EMPTY_PATH,
    )


def main() -> int:
    """Answer with the mount's descriptor, or with the number and the words of an error."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        tree = clone(int(sys.argv[2]), sys.argv[3])
    except OSError as error:
        channel.send(f"{error.errno or 0} {error}".encode(errors="replace"))
        return 1
    socket.send_fds(channel, [b"mount"], [tree])
    return 0


if __name__ == "__main__":
    sys.exit(main())
