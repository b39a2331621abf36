"""The gate: what CRIU's images ask for, against what the placeholder's own container was given.

CRIU restores with all rights: images decide uids, capabilities, seccomp, namespaces and labels of
what it makes. So before it runs, every image that decides is read; what exceeds is refused, what
is the node's to decide (labels, cgroups, limits) is written anew. Pure: images in, images out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.criu.bundle import Bundle
from agent.trust import kinds, opened, tasks
from agent.trust.decoded import Decoded
from agent.trust.labels import given
from agent.trust.rights import Container
from agent.trust.spaces import same_namespaces
from chrek.errors import DamagedError, ExceedsError


@dataclass(frozen=True, slots=True)
class Passed:
    """images: by name, as CRIU may have them. threads: of each live process, as PIDs of the
    container, the process's own first. labelled: whether the images give them a label."""

    images: dict[str, bytes]
    threads: dict[int, tuple[int, ...]]
    labelled: bool


def passed(
    bundle: Bundle, names: list[str], images: Mapping[str, bytes], container: Container
) -> Passed:
    """The images of one checkpoint; raises ExceedsError, DamagedError.

    names: of all its images. images: the content of those that `kinds.read_by_the_gate`.
    """
    decoded = Decoded(bundle, images)
    label = given(container.label, container.own_label)
    cores = tasks.live(decoded)
    clocks = same_namespaces(decoded, [task.pid for task in cores])
    if len(set(names)) < len(names):
        raise DamagedError("the manifest names an image twice")
    for name in names:
        if not (kinds.known(name) or kinds.dropped(name) or kinds.clocks(name) == clocks):
            raise ExceedsError(
                f"the checkpoint has an image {name}, which no container's tree of processes has",
                hint="It could make namespaces or mounts; a newer CRIU may have made it",
            )
    opened.check(decoded, container)
    tasks.check(decoded, cores, container)
    tasks.tame(decoded, cores, container, label)
    threads = {task.pid: task.tids for task in cores}
    return Passed(decoded.written(), threads, labelled=label is not None)
