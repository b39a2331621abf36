"""What a placeholder's container was given: the rights of its PID 1, which is chrek-init and
waits. No restored task may have more.
"""

from pathlib import Path
from typing import Final

from agent.kernel import process
from agent.runtime.target import Target
from agent.trust import filters, labels
from agent.trust.credentials import of_status
from agent.trust.rights import UNLIMITED, Container, Limit
from chrek.errors import ExceedsError, TargetGoneError

_STAT_NICE: Final = 16
_FILTERED: Final = 2
_LIMITS: Final = (
    "cpu time", "file size", "data size", "stack size", "core file size", "resident set",
    "processes", "open files", "locked memory", "address space", "file locks", "pending signals",
    "msgqueue size", "nice priority", "realtime priority", "realtime timeout",
)  # fmt: skip
"""Rows of /proc/PID/limits in the order of the RLIMIT_ numbers."""


def of(target: Target) -> Container:
    """The rights of the container of a waiting chrek-init; raises TargetGoneError, and
    ExceedsError where they cannot be read."""
    base = Path(f"/proc/{target.init}")
    with target.pidfd():
        try:
            status = (base / "status").read_text(errors="replace")
            limits = (base / "limits").read_text()
            stat = (base / "stat").read_text(errors="replace").rpartition(")")[2].split()
            adjustment = int((base / "oom_score_adj").read_text())
            label = labels.of(target.init)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise TargetGoneError(f"container {target.name} has ended") from error
        found = Container(
            credentials=of_status("PID 1", status),
            limits=_limits(limits),
            nice=int(stat[_STAT_NICE]),
            oom_score_adj=adjustment,
            filters=filters.of(target.init) if _seccomp(status) == _FILTERED else (),
            label=label,
            own_label=labels.of("self"),
        )
    if not process.same(target.init, target.init_ticks):
        raise TargetGoneError(f"container {target.name} has ended")
    return found


def _seccomp(status: str) -> int:
    for line in status.splitlines():
        if line.startswith("Seccomp:"):
            return int(line.split()[1])
    return 0  # a kernel without seccomp


def _limits(text: str) -> tuple[Limit, ...]:
    found: list[Limit] = []
    for row in _LIMITS:
        start = f"Max {row}"
        line = next((line for line in text.splitlines() if line.startswith(start)), None)
        if line is None:
            raise ExceedsError(f"the kernel tells no limit of {row} of the container")
        soft, hard = line.removeprefix(start).split()[:2]
        found.append((_number(soft), _number(hard)))
    return tuple(found)


def _number(text: str) -> int:
    return UNLIMITED if text == "unlimited" else int(text)
