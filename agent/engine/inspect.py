"""Inspect: the facts of a source, and the refusals that leave it untouched."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from agent.criu.bundle import Bundle
from agent.engine import refusals, watches
from agent.files.roots import SourceRoot
from agent.init import binary
from agent.kernel import addresses, cgroups, cpu, mounts, process
from agent.kernel.process import Process
from agent.runtime.target import Target
from chrek.errors import NotWrappedError, OutsideTreeError
from chrek.ids import NamespacePID
from chrek.manifest import Facts, MountFact, ProcessFact
from chrek.names import CHREK_DIR, REAPER_PREFIX

# In the pod's own directory, or in an image that brings chrek-init.
_REAPER = re.compile(r"(?:/chrek|/opt/chrek)/(reaper-[0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a capture works on. tree: the reaper's, the root first. watched: paths of watched
    files that CRIU does not find by itself."""

    facts: Facts
    root: Process
    tree: list[Process]
    watched: list[str]


def inspect(target: Target, bundle: Bundle, sources: list[SourceRoot]) -> Inspected:
    """Facts of a running source; raises a RefusedError for what cannot be checkpointed."""
    everything = process.in_pid_namespace(target.init)
    root = _reaper(target, everything)
    tree = process.descendants(everything, root.host_pid)
    tree.sort(key=lambda found: found.pid != root.pid)
    _outside(target, everything, tree)
    refusals.refuse(target, tree)
    watched = watches.paths(target, tree)
    return Inspected(_facts(target, bundle, sources, root, tree), root, tree, watched)


def unchanged(before: Inspected, target: Target) -> None:
    """Raise unless every process of the container is still inside the tree.

    Asked once the tree is frozen: what runs now is outside of it.
    """
    everything = process.in_pid_namespace(target.init)
    _outside(target, everything, process.descendants(everything, before.root.host_pid))


def _reaper(target: Target, everything: list[Process]) -> Process:
    for found in everything:
        if found.parent == target.init and _reaper_name(found) is not None:
            return found
    raise NotWrappedError(
        f"container {target.name} has no reaper under PID 1",
        hint="It was started without chrek-init, or has not started its command yet",
    )


def _reaper_name(found: Process) -> str | None:
    try:
        matched = _REAPER.fullmatch(os.readlink(f"/proc/{found.host_pid}/exe"))  # noqa: PTH115
    except (FileNotFoundError, ProcessLookupError):
        return None
    return matched[1] if matched else None


def _outside(target: Target, everything: list[Process], tree: list[Process]) -> None:
    """CRIU would lose what is neither in the tree nor PID 1; a process that somebody outside the
    container put there (an exec) has a parent outside and is not the app's."""
    inside = {found.host_pid for found in everything}
    kept = {found.host_pid for found in tree} | {target.init}
    lost = [
        found
        for found in everything
        if found.host_pid not in kept and found.parent in inside and found.state != "Z"
    ]
    if lost:
        names = ", ".join(f"{found.name} (PID {found.pid})" for found in lost)
        raise OutsideTreeError(
            f"processes of {target.name} are outside the tree that can be dumped: {names}",
            hint="They were started by an exec or by something other than the command",
        )


def _facts(
    target: Target, bundle: Bundle, sources: list[SourceRoot], root: Process, tree: list[Process]
) -> Facts:
    numbers = {found.host_pid: found.pid for found in tree}
    reaper = _reaper_name(root)
    assert reaper is not None
    assert reaper.startswith(REAPER_PREFIX)
    first = process.descriptor_targets(target.init)
    top = process.read(target.init)
    return Facts(
        architecture=cpu.architecture(),
        cpu_model=cpu.model(),
        cpu_features=cpu.features(),
        kernel=os.uname().release,
        criu=bundle.criu_version,
        chrek_init=binary.version(),
        reaper=reaper,
        hostname=target.name,
        uid=top.uid,
        gid=top.gid,
        root_pid=root.pid,
        max_pid=_highest(tree),
        stdio=[first.get(number, "") for number in (0, 1, 2)],
        addresses=addresses.own(target.init),
        mounts=_mounts(target),
        file_roots=[source.root for source in sources],
        processes=[
            ProcessFact(
                found.pid,
                numbers.get(found.parent, NamespacePID(1)),
                found.name,
                found.uid,
                found.threads,
                found.rss_bytes,
            )
            for found in tree
        ],
        cgroup_version=1 if (cgroups.ROOT / "memory").is_dir() else 2,
    )


def _highest(tree: list[Process]) -> int:
    """Threads have numbers of the same counter as processes."""
    highest = 1
    for found in tree:
        try:
            threads = os.listdir(f"/proc/{found.host_pid}/task")  # noqa: PTH208
            for thread in threads:
                status = Path(f"/proc/{found.host_pid}/task/{thread}/status").read_text(
                    errors="replace"
                )
                line = next(row for row in status.splitlines() if row.startswith("NSpid:"))
                highest = max(highest, int(line.split()[-1]))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return highest


def _mounts(target: Target) -> list[MountFact]:
    seen = mounts.of(target.init)
    return [
        MountFact(mount.point, mount.filesystem, "ro" in mount.options)
        for mount in seen
        if not mount.point.startswith(CHREK_DIR) and mounts.at(seen, mount.point) is mount
    ]
