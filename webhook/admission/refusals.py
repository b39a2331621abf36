"""What chrek cannot handle, one sentence each. Such a pod is admitted unchanged.

Pure. Everything is asked, so that a user sees all the reasons at once.
"""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from chrek.names import CHREK_DIR
from chrek.pods import names, wrapping
from chrek.pods.wish import Wish, shown
from webhook.admission.known import Claim, Known, Options

_INIT_SYSTEMS: Final = frozenset(
    ("init", "systemd", "openrc-init", "runit", "runit-init", "s6-overlay-suexec")
)
"""Programs that refuse to be anything but PID 1. (tini, dumb-init and the like do not mind.)"""


def of_pod(pod: Mapping[str, Any], options: Options) -> Iterator[str]:
    """Why no container of this pod can be taken on."""
    spec = pod["spec"]
    if spec.get("hostPID"):
        yield "hostPID gives the container no PID namespace of its own"
    if spec.get("shareProcessNamespace"):
        yield "shareProcessNamespace leaves PID 1 to the pod's sandbox"
    if spec.get("hostUsers") is False:
        yield "hostUsers: false (a user namespace) is not supported"
    if (spec.get("os") or {}).get("name") == "windows":
        yield "only Linux pods can be checkpointed"
    runtime_class = spec.get("runtimeClassName") or ""
    if any(fnmatchcase(runtime_class, pattern) for pattern in options.sandboxed):
        yield f"runtimeClassName {shown(runtime_class)} is a sandbox that cannot be looked into"
    taken = {entry.get("name") for entry in spec.get("volumes") or []}
    for name in (names.DIR_VOLUME, names.CLAIM_VOLUME):
        if name in taken:
            yield f"it has a volume named {name}, which is chrek's own name: rename it"
    if any(
        entry.get("name") == names.INIT_CONTAINER
        for member in ("initContainers", "containers")
        for entry in spec.get(member) or []
    ):
        yield f"it has a container named {names.INIT_CONTAINER}, which is chrek's own: rename it"


def of_container(container: Mapping[str, Any], wish: Wish) -> Iterator[str]:
    """Why the chosen container cannot be taken on."""
    name = container["name"]
    if container.get("tty"):
        yield f"container {name} has tty: true, and terminals cannot be checkpointed"
    if (container.get("lifecycle") or {}).get("postStart"):
        yield f"container {name} has lifecycle.postStart, which would run before the restore"
    ours = [CHREK_DIR, *([names.CLAIM_PATH] if wish.checkpoint_image else [])]
    for mount in container.get("volumeMounts") or []:
        path = posixpath.normpath(str(mount.get("mountPath")))
        if any(path == own or path.startswith(own + "/") for own in ours):
            yield f"container {name} mounts something at {shown(path)}, which is chrek's"


def of_command(name: str, command: Sequence[str]) -> Iterator[str]:
    """Why this command of container `name` cannot run under chrek-init."""
    if not command:
        yield f"neither container {name} nor its image names a command"
    elif posixpath.basename(command[0]) in _INIT_SYSTEMS:
        yield f"container {name} runs {shown(command[0])}, which must be PID 1 itself"
    if wrapping.is_wrapped(list(command)):
        yield f"container {name} runs chrek-init by itself: remove it from the command"


def of_claim(wish: Wish, known: Known, options: Options) -> Iterator[str]:
    """Why checkpoints cannot be kept in the claim: a pod that mounts it would hang."""
    claim = known.claims.get(wish.claim)
    if claim is None:
        yield (
            f"there is no PersistentVolumeClaim {wish.claim} in namespace {known.namespace}: "
            f"create it, or name another with {names.CLAIM}"
        )
    else:
        yield from _of_found(claim, known, options)


def _of_found(claim: Claim, known: Known, options: Options) -> Iterator[str]:
    what = f"PersistentVolumeClaim {claim.name}"
    if claim.terminating:
        yield f"{what} is being deleted"
    waits_for_pod = claim.phase == "Pending" and claim.storage_class in known.late_binding
    if claim.phase != "Bound" and not waits_for_pod:
        yield f"{what} is {claim.phase or 'not bound'}: kubectl describe pvc {claim.name}"
    if "ReadWriteOncePod" in claim.access_modes:
        yield f"{what} is ReadWriteOncePod: a second pod would hang"
    elif "ReadWriteMany" not in claim.access_modes and not (
        "ReadWriteOnce" in claim.access_modes and options.allow_read_write_once
    ):
        modes = ", ".join(sorted(claim.access_modes)) or "of no access mode"
        yield f"{what} is {modes}, not ReadWriteMany: pods on other nodes would hang"
