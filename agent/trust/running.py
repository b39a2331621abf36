"""What CRIU has made, looked at before any of it runs: the kernel's own word on every task.

The gate reads images, and CRIU has its own ways with them: an empty list of groups, say, leaves a
task those of CRIU. Here nothing is left to interpretation.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

from agent.kernel import process
from agent.runtime.target import Target
from agent.trust import labels
from agent.trust.credentials import excesses, of_status
from agent.trust.rights import Container
from chrek.errors import ExceedsError, TargetGoneError
from chrek.ids import HostPID


def check(
    target: Target, threads: dict[int, tuple[int, ...]], container: Container
) -> dict[int, HostPID]:
    """Raise ExceedsError unless every task of the restored tree is within the container's rights;
    its processes: PIDs as the container counts -> as this machine does.

    threads: of each process that the images have, by its PID in the container.
    """
    left = dict(threads)
    checked: dict[int, HostPID] = {}
    for found in process.in_pid_namespace(target.init):
        if left.pop(found.pid, None) is None:
            continue
        try:
            _process(found.host_pid, container)
        except (FileNotFoundError, ProcessLookupError):
            left[found.pid] = ()
        else:
            checked[found.pid] = found.host_pid
    if left:
        raise ExceedsError(f"PID {min(left)} of the restored tree cannot be looked at")
    return checked


def end(target: Target, threads: dict[int, tuple[int, ...]]) -> None:
    """Kill every process of the restored tree, which CRIU still holds."""
    with suppress(TargetGoneError):
        for found in process.in_pid_namespace(target.init):
            if found.pid in threads:
                with suppress(ProcessLookupError):
                    os.kill(found.host_pid, signal.SIGKILL)


def _process(pid: HostPID, container: Container) -> None:
    base = Path(f"/proc/{pid}")
    for thread in (base / "task").iterdir():
        status = (thread / "status").read_text(errors="replace")
        who = f"restored task {thread.name}"
        for excess in excesses(of_status(who, status), container):
            raise ExceedsError(f"{who} was given {excess}")
        if container.filters and "\nSeccomp:\t2\n" not in status:
            raise ExceedsError(f"{who} has no seccomp filter, and the container has")
        label = labels.of(f"{pid}/task/{thread.name}")
        if label != container.label and container.label.text not in ("", labels.UNCONFINED):
            raise ExceedsError(f"{who} has label {label.text}, not {container.label.text}")
    adjustment = base / "oom_score_adj"
    if int(adjustment.read_text()) < container.oom_score_adj:
        # CRIU's own, which may be that of a system pod: a score of 0 it does not set.
        adjustment.write_text(str(container.oom_score_adj))
