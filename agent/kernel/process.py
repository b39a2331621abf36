"""Processes read from /proc: identity that survives PID reuse, namespaces, descriptors."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chrek.errors import TargetGoneError
from chrek.ids import HostPID, NamespacePID

_STAT_PPID = 1
_STAT_TTY = 4
_STAT_START = 19


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a container as seen from the host."""

    host_pid: HostPID
    pid: NamespacePID
    parent: HostPID
    name: str
    uid: int
    gid: int
    threads: int
    rss_bytes: int
    tracer: int
    terminal: int
    state: str


def start_ticks(pid: int) -> int | None:
    """Start time in clock ticks since boot: with the PID, the identity of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(text.rpartition(")")[2].split()[_STAT_START])


def same(pid: int, ticks: int) -> bool:
    """Whether `pid` is still the process that started at `ticks`."""
    return start_ticks(pid) == ticks


def comm(pid: int) -> str | None:
    """The name the process gave itself, or None when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return None


def read(pid: int) -> Process:
    """Facts of one process; raises FileNotFoundError or ProcessLookupError when it ends."""
    base = Path(f"/proc/{pid}")
    status: dict[str, str] = {}
    # A name is cut at 15 bytes, also in the middle of a character; in a manifest it is text.
    for line in (base / "status").read_text(errors="replace").split("\n"):
        key, _, value = line.partition(":")
        status[key] = value.strip()
    stat = (base / "stat").read_text(errors="surrogateescape").rpartition(")")[2].split()
    return Process(
        host_pid=HostPID(pid),
        pid=NamespacePID(int(status["NSpid"].split()[-1])),
        parent=HostPID(int(stat[_STAT_PPID])),
        name=status["Name"],
        uid=int(status["Uid"].split()[0]),
        gid=int(status["Gid"].split()[0]),
        threads=int(status["Threads"]),
        rss_bytes=int(status.get("VmRSS", "0 kB").split()[0]) * 1024,
        tracer=int(status["TracerPid"]),
        terminal=int(stat[_STAT_TTY]),
        state=status["State"][:1],
    )


def all_pids() -> Iterator[HostPID]:
    """Every PID of this PID namespace."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a tenth of the cost of iterdir
        if entry.isdigit():
            yield HostPID(int(entry))


def in_pid_namespace(init: HostPID) -> list[Process]:
    """All processes of the PID namespace whose PID 1 is `init`, `init` first."""
    try:
        namespace = Path(f"/proc/{init}/ns/pid").stat().st_ino
    except (FileNotFoundError, ProcessLookupError) as error:
        raise TargetGoneError(f"process {init} of the container is gone") from error
    found: list[Process] = []
    for pid in all_pids():
        try:
            if Path(f"/proc/{pid}/ns/pid").stat().st_ino == namespace:
                found.append(read(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        except PermissionError:
            continue  # more rights than ours (on a machine without CAP_SYS_RESOURCE): not the pod's
    return sorted(found, key=lambda process: process.pid)


def descendants(processes: list[Process], root: HostPID) -> list[Process]:
    """`root` and everything below it, out of `processes`."""
    inside = {root}
    grown = True
    while grown:
        more = {p.host_pid for p in processes if p.parent in inside} - inside
        inside |= more
        grown = bool(more)
    return [process for process in processes if process.host_pid in inside]


def descriptor_targets(pid: HostPID) -> dict[int, str]:
    """Where each descriptor of `pid` leads, by number, as /proc/PID/fd says."""
    targets: dict[int, str] = {}
    directory = f"/proc/{pid}/fd"
    try:
        for entry in os.listdir(directory):  # noqa: PTH208
            try:
                targets[int(entry)] = os.readlink(f"{directory}/{entry}")  # noqa: PTH115
            except FileNotFoundError:
                continue  # closed while we looked
    except (FileNotFoundError, ProcessLookupError):
        return targets
    return targets
