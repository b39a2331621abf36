"""CPUs near another process, and threads that stay on them.

A page that is written into the memory of another process comes from the NUMA node of the CPU that
writes it; memory policy and cpuset are the writer's, too (mm/mempolicy.c asks the current task).
"""

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_NODES: Final = Path("/sys/devices/system/node")


def near(pid: int) -> frozenset[int]:
    """Those of the calling thread that are nearest to another process; all, once that is gone."""
    theirs: set[int] = set()
    with suppress(ProcessLookupError):
        theirs = os.sched_getaffinity(pid)
    return nearest(os.sched_getaffinity(0), theirs, nodes())


def nearest(
    ours: Collection[int], theirs: Collection[int], of_nodes: Iterable[Collection[int]]
) -> frozenset[int]:
    """Of `ours` those that are theirs too. None are where a pod has CPUs for itself alone (the
    kubelet's static policy): then those on the same nodes; else all. of_nodes: CPUs of each."""
    mine, common = frozenset(ours), frozenset(ours).intersection(theirs)
    beside = frozenset(cpu for node in of_nodes if set(node) & set(theirs) for cpu in node)
    return common or mine & beside or mine


def nodes(place: Path = _NODES) -> list[set[int]]:
    """CPUs of each NUMA node; nothing where the kernel knows no nodes."""
    found: list[set[int]] = []
    for path in place.glob("node*/cpulist"):
        with suppress(OSError):  # gone offline
            found.append(_listed(path.read_text()))
    return found


def stay_on(cpus: Collection[int]) -> None:
    """From now on the calling thread runs on no others; unless there are none of these, or none
    any more: they can be taken out of a cpuset, or offline, at any time."""
    with suppress(OSError):
        os.sched_setaffinity(0, cpus)


def _listed(text: str) -> set[int]:
    """As the kernel writes it: 0-3,8."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
