"""Tasks in CRIU's images: which live, what they may not have, what is the node's to set. Pure."""

from dataclasses import dataclass
from typing import Any, Final

from agent.trust import capabilities
from agent.trust.chains import Chains, Thread
from agent.trust.credentials import excesses, of_entry
from agent.trust.decoded import Decoded
from agent.trust.labels import Label
from agent.trust.rights import RLIMIT_NICE, RLIMIT_RTPRIO, Container
from chrek.errors import DamagedError, ExceedsError

_ALIVE: Final = (1, 3)
"""COMPEL_TASK_ALIVE and _STOPPED."""
_DEAD: Final = 2
_REAL_TIME: Final = {1: "SCHED_FIFO", 2: "SCHED_RR"}
_ORDINARY: Final = {0, 3, 5}
"""SCHED_OTHER, SCHED_BATCH, SCHED_IDLE."""
_LOWEST_NICE: Final = 20
_NETWORK_LOCK_SKIP: Final = 2
_LSM_TYPES: Final = {True: "APPARMOR", False: "NO_LSM"}


@dataclass(frozen=True, slots=True)
class Task:
    """A live process. tids: its threads, its own PID first."""

    pid: int
    tids: tuple[int, ...]


def live(decoded: Decoded) -> list[Task]:
    """The processes that will run, the root first; raises DamagedError."""
    found: list[Task] = []
    roots = 0
    for entry in decoded.entries("pstree.img"):
        core = decoded.only(f"core-{entry.pid}.img")
        roots += entry.ppid == 0
        if not core.HasField("tc"):
            raise DamagedError(f"core-{entry.pid}.img of the checkpoint is not of a process")
        if core.tc.task_state == _DEAD:
            continue
        if core.tc.task_state not in _ALIVE:
            raise DamagedError(f"PID {entry.pid} is in state {core.tc.task_state}")
        others = [tid for tid in entry.threads if tid != entry.pid]
        found.append(Task(entry.pid, (entry.pid, *others)))
    if roots != 1:
        raise DamagedError(f"the checkpoint has {roots} trees of processes")
    return found


def check(decoded: Decoded, tasks: list[Task], container: Container) -> None:
    """Raise ExceedsError for the first task that would have more than the container."""
    for task in tasks:
        for tid in task.tids:
            core = decoded.only(f"core-{tid}.img")
            who = _who(core, task.pid, tid)
            if not core.HasField("thread_core") or not core.thread_core.HasField("creds"):
                raise DamagedError(f"core-{tid}.img of the checkpoint has no credentials")
            if core.HasField("ids") or (tid != task.pid and core.HasField("tc")):
                raise DamagedError(f"core-{tid}.img of the checkpoint is of another kind")
            for excess in excesses(of_entry(who, core.thread_core.creds), container):
                raise ExceedsError(f"{who} would have {excess}")
            _scheduling(who, core.thread_core, container)


def tame(decoded: Decoded, tasks: list[Task], container: Container, label: Label | None) -> None:
    """Set what is the placeholder's: seccomp below what a task had itself, labels, limits. And
    take out what is only its agent's: cgroups, login uid."""
    entries = decoded.entries("seccomp.img") if decoded.has("seccomp.img") else []
    chains = Chains(entries[0] if entries else None, container)
    for task in tasks:
        cores = [(tid, decoded.only(f"core-{tid}.img")) for tid in task.tids]
        for tid, core in cores:
            _tame_thread(core, label)
            decoded.changed(f"core-{tid}.img")
        _tame_process(cores[0][1].tc, container)
        chains.keep([Thread(_who(core, task.pid, tid), core) for tid, core in cores])
    if chains.changed:
        decoded.changed("seccomp.img")
    inventory = decoded.only("inventory.img")
    kind = inventory.DESCRIPTOR.fields_by_name["lsmtype"].enum_type
    inventory.lsmtype = kind.values_by_name[_LSM_TYPES[label is not None]].number
    # With another one CRIU runs commands made of strings in this image.
    inventory.network_lock_method = _NETWORK_LOCK_SKIP
    decoded.changed("inventory.img")


def _tame_thread(core: Any, label: Label | None) -> None:
    core.thread_core.ClearField("cg_set")
    creds = core.thread_core.creds
    for field in ("lsm_profile", "lsm_sockcreate", "apparmor_data"):
        creds.ClearField(field)
    if label is not None:
        creds.lsm_profile = label.text


def _tame_process(tc: Any, container: Container) -> None:
    if tc.HasField("old_seccomp_mode") or tc.HasField("old_seccomp_filter"):
        raise DamagedError("the checkpoint has seccomp filters in the form of an older CRIU")
    tc.ClearField("cg_set")
    tc.ClearField("loginuid")
    if container.may(capabilities.SYS_RESOURCE):
        return
    held = [(limit.cur, limit.max) for limit in tc.rlimits.rlimits]
    del tc.rlimits.rlimits[:]
    for number, (own_soft, own_hard) in enumerate(container.limits):
        soft, hard = held[number] if number < len(held) else (own_soft, own_hard)
        tc.rlimits.rlimits.add(cur=min(soft, hard, own_hard), max=min(hard, own_hard))


def _scheduling(who: str, core: Any, container: Container) -> None:
    if container.may(capabilities.SYS_NICE):
        return
    if core.sched_policy in _REAL_TIME:
        if core.sched_prio > container.limits[RLIMIT_RTPRIO][1]:
            raise ExceedsError(f"{who} would run as {_REAL_TIME[core.sched_policy]}")
    elif core.sched_policy not in _ORDINARY:
        raise ExceedsError(f"{who} would run with scheduling policy {core.sched_policy}")
    most = min(container.nice, _LOWEST_NICE - container.limits[RLIMIT_NICE][1])
    if core.sched_nice < most:
        raise ExceedsError(
            f"{who} would have nice {core.sched_nice}, and the container has {container.nice}"
        )


def _who(core: Any, pid: int, tid: int) -> str:
    name = core.thread_core.comm or core.tc.comm
    return f"{name} (PID {pid})" if tid == pid else f"thread {name} ({tid} of PID {pid})"
