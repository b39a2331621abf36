"""What CRIU cannot dump or restore, found in /proc while the source runs: nothing stands still in
vain, and the message names the process."""

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from agent.kernel import mounts, process
from agent.kernel.process import Process
from agent.runtime.target import Target
from chrek.errors import (
    DescriptorError,
    IoUringError,
    NestedError,
    SealedMemoryError,
    SocketError,
    StuckError,
    TerminalError,
    TracedError,
)
from chrek.ids import HostPID

# Not the time namespace: CRIU makes one for what it restores, and takes it on.
_NAMESPACES: Final = ("mnt", "net", "ipc", "uts", "user", "cgroup", "pid_for_children")
_UNKNOWN_DESCRIPTORS: Final = (
    *("[userfaultfd]", "[landlock-ruleset]", "[perf_event]", "[fscontext]", "[fanotify-perm]"),
    *("seccomp notify", "kvm-vm", "kvm-vcpu"),
)
# Which no checkpoint may have (agent/trust/opened.py).
_NAMESPACE_FILES: Final = tuple(
    f"{kind}:[" for kind in ("mnt", "net", "ipc", "uts", "user", "cgroup", "pid", "time")
)
# As the kernel names them (struct proto); CRIU finds all others missing, with the source frozen.
_PROTOCOLS: Final = frozenset(
    {
        *("TCP", "TCPv6", "UDP", "UDPv6", "UDP-Lite", "UDPLITEv6", "RAW", "RAWv6"),
        *("UNIX", "UNIX-STREAM", "NETLINK", "PACKET"),
    }
)
# No mount leads to them, and need not: CRIU takes memfds by their content; a GPU's go with it.
_WITHOUT_MOUNT: Final = ("/memfd:", "/dmabuf:")
_SEAL_WRITE: Final = 0x0008
_LOOKS: Final = 10
_LOOK_SECONDS: Final = 0.1


def refuse(target: Target, tree: list[Process]) -> None:
    """Raise the RefusedError of the first process that has something of the kind."""
    known = {mount.id for mount in mounts.of(target.init)}
    own = _namespaces(target.init)
    numbers = {found.host_pid for found in tree}
    for found in tree:
        who = f"{found.name} (PID {found.pid}) in {target.name}"
        if found.tracer:
            raise TracedError(f"{who} is traced by process {found.tracer}", hint="End the debugger")
        if found.terminal:
            raise TerminalError(
                f"{who} has a terminal",
                hint="One of its own (script, tmux) cannot be captured either",
            )
        _nested(who, found, own, numbers)
        for number, where in process.descriptor_targets(found.host_pid).items():
            _descriptor(who, found.host_pid, number, where, known)
        _memory(who, found.host_pid)
    _stuck(target, tree)


def _namespaces(pid: HostPID) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind in _NAMESPACES:
        try:
            found[kind] = os.readlink(f"/proc/{pid}/ns/{kind}")  # noqa: PTH115
        except OSError:
            continue  # it ended; or it has made a PID namespace that has no process yet
    return found


def _nested(who: str, found: Process, own: dict[str, str], tree: set[HostPID]) -> None:
    differ = [kind for kind, where in _namespaces(found.host_pid).items() if where != own[kind]]
    inner = [child for child in _children(found.host_pid) if child not in tree]
    inner = [child for child in inner if _pid_namespace(child) not in (None, own_pid(own))]
    if inner:
        differ.append("pid")
    if differ:
        raise NestedError(
            f"{who} is, or has a child, in namespaces of its own ({', '.join(sorted(differ))})",
            hint="A sandbox or a container inside of the container cannot be captured",
        )


def own_pid(own: dict[str, str]) -> str:
    """The PID namespace of the container: PID 1 has made none for its children."""
    return own["pid_for_children"]


def _pid_namespace(pid: HostPID) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115
    except OSError:
        return None


def _children(pid: HostPID) -> list[HostPID]:
    children: list[HostPID] = []
    for thread in _threads(pid):
        try:
            text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
        except OSError:
            continue
        children += [HostPID(int(number)) for number in text.split()]
    return children


def _threads(pid: HostPID) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - a tenth of the cost of iterdir
    except OSError:
        return []


def _descriptor(who: str, pid: HostPID, number: int, where: str, known: set[int]) -> None:
    if where.startswith("anon_inode:"):
        if "[io_uring]" in where:
            raise IoUringError(
                f"{who} uses io_uring, which CRIU cannot dump",
                hint="Switch it off in the program, or block it by seccomp",
            )
        kind = where.removeprefix("anon_inode:")
        if kind in _UNKNOWN_DESCRIPTORS:
            raise DescriptorError(f"{who} has a descriptor of kind {kind}, which CRIU cannot dump")
    elif where.startswith(_NAMESPACE_FILES):
        raise DescriptorError(f"{who} holds a namespace open ({where}), which is not restored")
    elif where.startswith("socket:"):
        _socket(who, pid, number)
    elif where.startswith("/") and not where.startswith(_WITHOUT_MOUNT):
        mount = _mount(pid, number)
        if mount is not None and mount not in known:
            raise DescriptorError(
                f"{who} has open {where}, on a file system that is not mounted in the container",
                hint="POSIX message queues, secret memory and lazily unmounted volumes are such",
            )


def _socket(who: str, pid: HostPID, number: int) -> None:
    try:
        name = os.getxattr(f"/proc/{pid}/fd/{number}", "system.sockprotoname")
    except OSError:
        return  # closed while we looked
    protocol = name.rstrip(b"\0").decode(errors="replace")
    if protocol in _PROTOCOLS:
        return
    mptcp = "GODEBUG=multipathtcp=0 switches it off in Go, whose listeners have it by default"
    raise SocketError(
        f"{who} has a socket of protocol {protocol}, which CRIU cannot dump",
        hint=mptcp if protocol.startswith("MPTCP") else "",
    )


def _mount(pid: HostPID, number: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/fdinfo/{number}").read_text()
    except OSError:
        return None
    rows = (row.partition(":") for row in text.splitlines())
    return next((int(value) for key, _, value in rows if key == "mnt_id"), None)


def _memory(who: str, pid: HostPID) -> None:
    """CRIU maps a memfd before it seals it, and one that is mapped as shared cannot be sealed."""
    try:
        content = Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return
    if b"/memfd:" not in content:
        return
    for row in content.split(b"\n"):
        area, _, rest = row.partition(b" ")
        if rest[3:4] == b"s" and b"/memfd:" in rest and _is_sealed(pid, area.decode()):
            raise SealedMemoryError(
                f"{who} maps, as shared, a memfd that is sealed against writing, which CRIU cannot "
                "restore",
                hint="Map it as private, or leave out F_SEAL_WRITE",
            )


def _is_sealed(pid: HostPID, area: str) -> bool:
    try:
        held = os.open(f"/proc/{pid}/map_files/{area}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return bool(fcntl.fcntl(held, fcntl.F_GET_SEALS) & _SEAL_WRITE)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    finally:
        os.close(held)


def _stuck(target: Target, tree: list[Process]) -> None:
    """A thread that waits for a disk is back soon; one that waits for a child in vfork, or for a
    file server that does not answer, would have CRIU wait with all others frozen."""
    waiting = _uninterruptible(tree)
    for _ in range(_LOOKS):
        if not waiting:
            return
        time.sleep(_LOOK_SECONDS)
        waiting = {each: name for each, name in _uninterruptible(tree).items() if each in waiting}
    if waiting:
        names = ", ".join(sorted(set(waiting.values())))
        raise StuckError(
            f"a thread of {target.name} waits in the kernel and cannot be frozen: {names}",
            hint="It waits for a disk or a file server, or for a child that has not yet executed",
        )


def _uninterruptible(tree: list[Process]) -> dict[tuple[str, str, str], str]:
    """(PID, thread, times that it has slept) of threads in state D -> their name."""
    found: dict[tuple[str, str, str], str] = {}
    for each in tree:
        for thread in _threads(each.host_pid):
            try:
                text = Path(f"/proc/{each.host_pid}/task/{thread}/status").read_text(
                    errors="replace"
                )
            except OSError:
                continue
            row = dict(line.split(":\t", 1) for line in text.split("\n") if ":\t" in line)
            if row.get("State", "").startswith("D"):
                slept = row.get("voluntary_ctxt_switches", "")
                found[str(each.host_pid), thread, slept] = f"{each.name} (PID {each.pid})"
    return found
