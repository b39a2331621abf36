"""From what the runtime says of a container to a process that is known to be its first one."""

import hashlib
import os
import re

from agent.inside.namespaces import checked_cgroups
from agent.kernel import process
from agent.runtime.cri.errors import CRIError
from agent.runtime.cri.model import Container, Status
from agent.runtime.target import PodName, Target
from chrek.errors import TargetGoneError
from chrek.ids import HostPID

_NAME_CHARACTERS = 150
_HASH_CHARACTERS = 12
_NOT_IN_NAMES = re.compile(r"[^a-z0-9.-]+")


def target(status: Status) -> Target:
    """The container, to be worked on; raises TargetGoneError, CRIError.

    Nobody holds the PID that the runtime told: it may be another process's by now. Once it is
    held by a descriptor its cgroup says whose it is, and the start time read in between is its.
    """
    container = status.container
    told = name(container)
    if status.pid is None:
        if container.state == "running":
            raise CRIError(
                f"the runtime does not tell the PID of container {told}",
                hint="chrek needs containerd or CRI-O",
            )
        raise TargetGoneError(f"container {told} does not run: it is {container.state}")
    try:
        descriptor = os.pidfd_open(status.pid)
    except OSError as error:
        raise TargetGoneError(f"container {told} has ended") from error
    try:
        ticks = process.start_ticks(status.pid)
        checked_cgroups(descriptor, container.id)
    except (ProcessLookupError, FileNotFoundError) as error:
        raise TargetGoneError(f"container {told} has ended") from error
    except PermissionError as error:
        raise TargetGoneError(f"container {told} has ended: {error}") from error
    finally:
        os.close(descriptor)
    if ticks is None or not process.same(status.pid, ticks):
        raise TargetGoneError(f"container {told} has ended")
    return Target(
        name=told,
        container=container.id,
        init=HostPID(status.pid),
        init_ticks=ticks,
        pod=PodName(container.namespace, container.pod_name, container.name),
    )


def name(container: Container) -> str:
    """`namespace.pod.container`, fit for a file's name; what had to be changed ends in a hash."""
    parts = (container.namespace, container.pod_name, container.name)
    plain = ".".join(parts)
    clean = _NOT_IN_NAMES.sub("_", plain).lstrip(".")
    if clean == plain and len(clean) <= _NAME_CHARACTERS:
        return clean
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_HASH_CHARACTERS]
    return f"{clean[: _NAME_CHARACTERS - _HASH_CHARACTERS - 1]}.{digest}".lstrip(".")
