"""Asking an inside process to run CRIU in a container: which descriptors it gets, under which
names."""

import os
from dataclasses import dataclass, field

from agent.engine.means import Means
from agent.inside.child import CRIUProcess, Inside, bundle_tree
from agent.inside.wire import Request
from agent.runtime.target import Target


@dataclass(frozen=True, slots=True)
class Entry:
    """What CRIU gets. images, work: directory descriptors. large: image name -> descriptor of a
    file too large to copy. stdio: place -> descriptor of the container's own standard stream.
    labelled: the images have labels of AppArmor."""

    images: int
    work: int
    last_pid: int = 0
    large: dict[str, int] = field(default_factory=dict)
    stdio: dict[str, int] = field(default_factory=dict)
    labelled: bool = False


async def dump(inside: Inside, target: Target, means: Means, entry: Entry) -> CRIUProcess:
    """CRIU, ready to dump, outside of the target's cgroups: its page cache would press it."""
    return await _start(inside, target, means, entry, restoring=False)


async def restore(inside: Inside, target: Target, means: Means, entry: Entry) -> CRIUProcess:
    """CRIU, ready to restore, inside the target's cgroups, as is all that it makes."""
    return await _start(inside, target, means, entry, restoring=True)


async def _start(
    inside: Inside,
    target: Target,
    means: Means,
    entry: Entry,
    *,
    restoring: bool,
) -> CRIUProcess:
    tree = bundle_tree(means.bundle.path)
    try:
        with target.pidfd() as pidfd:
            named = {
                "pidfd": pidfd,
                "bundle": tree,
                "images": entry.images,
                "work": entry.work,
                **entry.large,
                **entry.stdio,
            }
            request: Request = {
                "task": "restore" if restoring else "dump",
                "container": target.container,
                "last_pid": entry.last_pid,
                "descriptors": list(named),
                "links": list(entry.large),
                "labelled": entry.labelled,
                "preload": means.settings.test_shim,
            }
            return await inside.start_criu(request, list(named.values()))
    finally:
        os.close(tree)
