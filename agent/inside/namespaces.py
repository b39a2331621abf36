"""Entering a container by pidfd, and the few things done there before CRIU starts."""

import os
import re

from agent.kernel import calls, cgroups

_KINDS = (
    calls.CLONE_NEWUTS
    | calls.CLONE_NEWIPC
    | calls.CLONE_NEWNET
    | calls.CLONE_NEWCGROUP
    | calls.CLONE_NEWNS
    | calls.CLONE_NEWPID
)
_SYSTEM_V = {"shm": "shared memory segment", "sem": "semaphore set", "msg": "message queue"}
_RESTORING = b"chrek:restoring\n"
_PROC_ATTRIBUTES = calls.MOUNT_ATTR_NOSUID | calls.MOUNT_ATTR_NODEV | calls.MOUNT_ATTR_NOEXEC


def checked_cgroups(pidfd: int, container: str) -> dict[str, str]:
    """The cgroups of the process behind `pidfd`, which must name `container`.

    The number is read from the descriptor and is -1 once the process was reaped, so it is never
    the number of another one; the cgroup ties it to the container.
    """
    with open(f"/proc/self/fdinfo/{pidfd}") as fdinfo:  # noqa: PTH123 - pathlib imports more
        found = re.search(r"^Pid:\t(-?\d+)$", fdinfo.read(), re.MULTILINE)
    pid = int(found[1]) if found else -1
    if pid <= 0:
        raise ProcessLookupError("the container's first process is gone")
    paths = cgroups.of(pid)
    if not any(container in path for path in paths.values()):
        raise PermissionError(f"process {pid} is not in a cgroup of container {container}")
    return paths


def enter(pidfd: int, join: list[int]) -> None:
    """Join the cgroups behind `join`, then every namespace of the process behind `pidfd`."""
    cgroups.join(join)
    calls.setns(pidfd, _KINDS)
    os.chdir("/")


def system_v(proc: int) -> str:
    """The System V objects of the calling process's IPC namespace, in words; empty for none.

    proc: this machine's /proc. What it shows there is of whoever opens it, whatever the container
    has mounted at its own.
    """
    found = []
    for name, words in _SYSTEM_V.items():
        descriptor = os.open(f"sysvipc/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        with open(descriptor) as file:  # noqa: PTH123 - a descriptor
            count = len(file.readlines()) - 1  # a head
        if count:
            found.append(f"{count} {words}{'s' if count > 1 else ''}")
    return ", ".join(found)


def kill_restored(signal_number: int) -> None:
    """Kill all but PID 1 in the calling process's PID namespace, if PID 1 still waits for a
    restore: chrek-init that has lost patience has started the command, and that must live."""
    proc = calls.new_detached(b"proc", _PROC_ATTRIBUTES)
    try:
        comm = os.open("1/comm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            state = os.read(comm, 32)
        finally:
            os.close(comm)
    finally:
        os.close(proc)
    if state == _RESTORING:
        os.kill(-1, signal_number)


def raise_last_pid(value: int) -> None:
    """Raise the PID counter of the calling process's PID namespace to at least `value`, or as far
    as it goes.

    Through a proc mount of our own that no path leads to: making the container's /proc/sys
    writable, for a moment only, lets its root write the host's core_pattern.
    """
    proc = calls.new_detached(b"proc", _PROC_ATTRIBUTES)
    try:
        most = os.open("sys/kernel/pid_max", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        try:
            value = min(value, int(os.read(most, 32)) - 1)
        finally:
            os.close(most)
        counter = os.open("sys/kernel/ns_last_pid", os.O_RDWR | os.O_CLOEXEC, dir_fd=proc)
        try:
            if int(os.read(counter, 32)) < value:
                os.pwrite(counter, str(value).encode(), 0)
        finally:
            os.close(counter)
    finally:
        os.close(proc)
