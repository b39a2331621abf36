"""The runtime's messages, and the JSON that it adds on request, turned into the model.

The interface does not say what that JSON holds. containerd and CRI-O tell the same: `info` with
pid, sandboxID and runtimeSpec of a container, imageSpec (OCI) of an image. A member that is
missing or of another type is as if it were not told.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent.runtime.cri import cri_pb2
from agent.runtime.cri.errors import CRIError
from agent.runtime.cri.model import (
    Container,
    ContainerID,
    ImageConfig,
    MountPoint,
    State,
    Status,
)

_POD_UID = "io.kubernetes.pod.uid"
_POD_NAME = "io.kubernetes.pod.name"
_POD_NAMESPACE = "io.kubernetes.pod.namespace"
_NAME = "io.kubernetes.container.name"
_STATES: dict[int, State] = {
    cri_pb2.CONTAINER_CREATED: "created",
    cri_pb2.CONTAINER_RUNNING: "running",
    cri_pb2.CONTAINER_EXITED: "exited",
}
_MOST_PID = 1 << 22  # the kernel's own bound
_DIGEST = re.compile(r"(?:.*@)?(?:sha256:)?([0-9a-f]{64})")


def containers(found: Iterable[cri_pb2.Container]) -> list[Container]:
    """Those that a kubelet made for a pod: it labels them."""
    return [_container(each, each.pod_sandbox_id) for each in found if each.labels.get(_POD_UID)]


def status(answer: cri_pb2.ContainerStatusResponse) -> Status:
    """One container; raises CRIError when there is none, or its JSON is none."""
    if not answer.status.id:
        raise CRIError("the runtime answered with a container that has no id")
    found, told = answer.status, _told(answer.info, f"container {answer.status.id}")
    sandbox, spec, pid = told.get("sandboxID"), told.get("runtimeSpec"), told.get("pid")
    container = _container(found, sandbox if isinstance(sandbox, str) else "")
    runs = container.state == "running" and type(pid) is int and 0 < pid <= _MOST_PID
    return Status(
        container=container,
        pid=pid if runs else None,
        started_ns=found.started_at,
        image=found.image.user_specified_image or found.image.image,
        image_ref=found.image_ref or found.image.image,
        mounts=tuple(
            MountPoint(each.container_path, each.host_path, each.readonly) for each in found.mounts
        ),
        runtime_spec=spec if isinstance(spec, dict) else {},
        exit_code=found.exit_code,
    )


def image(answer: cri_pb2.ImageStatusResponse) -> ImageConfig:
    """One image; raises CRIError without a digest, or when its JSON is none."""
    found = answer.image
    # The id first: it is the digest of what is in the image. Digests of repositories differ with
    # the way it came here (an index or one of its manifests, recompressed, imported).
    for name in (found.id, *sorted(found.repo_digests)):
        if match := _DIGEST.fullmatch(name):
            digest = f"sha256:{match[1]}"
            break
    else:
        raise CRIError(f"the runtime tells no digest of image {found.id[:80]!r}")
    spec = _told(answer.info, f"image {found.id}").get("imageSpec")
    config = spec.get("config") if isinstance(spec, dict) else None
    if not isinstance(config, dict):
        config = {}
    return ImageConfig(
        digest=digest,
        entrypoint=_words(config.get("Entrypoint")),
        cmd=_words(config.get("Cmd")),
        env=_words(config.get("Env")),
    )


def _container(found: cri_pb2.Container | cri_pb2.ContainerStatus, sandbox: str) -> Container:
    labels = found.labels
    return Container(
        id=ContainerID(found.id),
        sandbox=sandbox,
        pod_uid=labels.get(_POD_UID, ""),
        pod_name=labels.get(_POD_NAME, ""),
        namespace=labels.get(_POD_NAMESPACE, ""),
        name=labels.get(_NAME, "") or found.metadata.name,
        attempt=found.metadata.attempt,
        state=_STATES.get(found.state, "unknown"),
        created_ns=found.created_at,
    )


def _told(info: Mapping[str, str], what: str) -> dict[str, Any]:
    text = info.get("info", "")
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CRIError(
            f"what the runtime tells of {what} is no JSON ({error}): {text[:80]!r}",
            hint="See `crictl inspect` on the node",
        ) from error
    return found if isinstance(found, dict) else {}


def _words(found: object) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        return ()
    return tuple(found)
