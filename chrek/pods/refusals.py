"""What chrek cannot handle, one sentence each. Such a pod is admitted unchanged.

Pure. Everything is asked, so that a user sees all the reasons at once: from the webhook when the
pod is created, and as the pod's event from the agent, since what a controller is told nobody reads.
"""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from chrek.names import CHREK_DIR
from chrek.pods import names, wrapping
from chrek.pods.wish import Wish, shown

_INIT_SYSTEMS: Final = frozenset(
    ("init", "systemd", "openrc-init", "runit", "runit-init", "s6-overlay-suexec")
)
"""Programs that refuse to be anything but PID 1. (tini, dumb-init and the like do not mind.)"""
SANDBOXED: Final = ("gvisor", "runsc", "kata", "kata-*")
"""Where the chart says nothing else."""
_OS: Final = ("kubernetes.io/os", "beta.kubernetes.io/os")
_MIRROR: Final = "kubernetes.io/config.mirror"


def every(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    wish: Wish,
    sandboxed: Sequence[str],
    argv: Sequence[str] | None,
) -> list[str]:
    """Why `pod` cannot be taken on with its chosen `container`. sandboxed: fnmatch patterns of
    runtime classes that CRIU cannot look into. argv: all that it runs; None where that is not
    known."""
    reasons = [*_of_pod(pod, sandboxed), *_of_container(container, wish)]
    if argv is not None:
        reasons += _of_command(container["name"], argv)
    return reasons


def _of_pod(pod: Mapping[str, Any], sandboxed: Sequence[str]) -> Iterator[str]:
    """Why no container of this pod can be taken on."""
    spec = pod["spec"]
    if _MIRROR in ((pod.get("metadata") or {}).get("annotations") or {}):
        yield "it mirrors a static pod, which its node runs as the node's own file says"
    if spec.get("hostPID"):
        yield "hostPID gives the container no PID namespace of its own"
    if spec.get("shareProcessNamespace"):
        yield "shareProcessNamespace leaves PID 1 to the pod's sandbox"
    if spec.get("hostUsers") is False:
        yield "hostUsers: false (a user namespace) is not supported"
    chosen = [(spec.get("nodeSelector") or {}).get(key) for key in _OS]
    if "windows" in [(spec.get("os") or {}).get("name"), *chosen]:
        yield "only Linux pods can be checkpointed"
    runtime_class = spec.get("runtimeClassName") or ""
    if runtime_class and any(fnmatchcase(runtime_class, one) for one in sandboxed):
        yield f"runtimeClassName {shown(runtime_class)} is a sandbox that cannot be looked into"
    yield from _of_names(pod, spec)


def _of_names(pod: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[str]:
    if names.CHECKPOINT_ID in (pod["metadata"].get("annotations") or {}):
        cure = "a copy, or another webhook, has replaced the command that chrek had wrapped"
    else:
        cure = "rename it"
    taken = {entry.get("name") for entry in spec.get("volumes") or []}
    for name in (names.DIR_VOLUME, names.CLAIM_VOLUME):
        if name in taken:
            yield f"it has a volume named {name}, which is chrek's own name: {cure}"
    if any(
        entry.get("name") == names.INIT_CONTAINER
        for member in ("initContainers", "containers")
        for entry in spec.get(member) or []
    ):
        yield f"it has a container named {names.INIT_CONTAINER}, which is chrek's own name: {cure}"


def _of_container(container: Mapping[str, Any], wish: Wish) -> Iterator[str]:
    """Why the chosen container cannot be taken on."""
    name = container["name"]
    if container.get("tty"):
        yield f"container {name} has tty: true, and terminals cannot be checkpointed"
    if (container.get("lifecycle") or {}).get("postStart"):
        yield f"container {name} has lifecycle.postStart, which would run before the restore"
    in_image = [names.CLAIM_PATH, posixpath.dirname(names.IMAGE_INIT)]
    ours = [CHREK_DIR, *(in_image if wish.checkpoint_image else [])]
    for path in _mounted(container):
        if any(_hides(path, own) or _hides(own, path) for own in ours):
            yield f"container {name} mounts something at {shown(path)}, which is chrek's"


def _mounted(container: Mapping[str, Any]) -> Iterator[str]:
    """As the kubelet reads them: a path that is not absolute begins at the root."""
    for member, key in (("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")):
        for entry in container.get(member) or []:
            yield posixpath.normpath("/" + str(entry.get(key)).lstrip("/"))


def _hides(path: str, other: str) -> bool:
    return path == other or other.startswith(path.rstrip("/") + "/")


def _of_command(name: str, command: Sequence[str]) -> Iterator[str]:
    """Why this command of container `name` cannot run under chrek-init."""
    if not command:
        yield f"neither container {name} nor its image names a command"
    elif posixpath.basename(command[0]) in _INIT_SYSTEMS:
        yield f"container {name} runs {shown(command[0])}, which must be PID 1 itself"
    if wrapping.is_wrapped(list(command)):
        yield f"container {name} runs chrek-init by itself: remove it from the command"
