"""A pod that is taken on: the pod as written -> the pod to admit.

Pure, and copies nothing that it does not change: what is the same object is the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from chrek.names import CHREK_DIR
from chrek.pods import names, wrapping
from chrek.pods.written import MEMBERS, Pod, Record, instead
from webhook.admission import probes
from webhook.admission.decision import TakeOn
from webhook.admission.known import Options

_USER: Final = 65532
"""Of the init image; written into the pod only where the pod's own user is root."""
_LIMITED: Final = ("cpu", "memory")
_SECCOMP_OF_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_OF_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
"""Kubernetes before 1.27 reads these too, and rejects a pod whose field says something else."""


def taken_on(pod: Pod, decision: TakeOn, options: Options) -> Pod:
    """`pod`, as its user wrote it, as the source or placeholder that was decided."""
    spec: dict[str, Any] = pod["spec"]
    written: dict[str, Any] = spec["containers"][decision.container]
    in_image = decision.image is not None
    container = _container(pod, written, decision, options)
    changed = {
        **spec,
        "containers": _with(spec["containers"], decision.container, container),
        "volumes": [*(spec.get("volumes") or []), *_volumes(decision.claim)],
    }
    if not in_image:
        init = _init_container(spec, written, options)
        changed["initContainers"] = [init, *(spec.get("initContainers") or [])]
    return {**pod, "metadata": _metadata(pod, written, container, decision), "spec": changed}


def _container(
    pod: Pod, written: dict[str, Any], decision: TakeOn, options: Options
) -> dict[str, Any]:
    in_image = decision.image is not None
    container = {
        **written,
        **_command(written, decision),
        "volumeMounts": [*(written.get("volumeMounts") or []), *_mounts(in_image=in_image)],
    }
    if decision.image is not None:
        container["image"] = decision.image
    if decision.role == "placeholder":
        container |= probes.adjusted(written, decision.timeout_seconds, in_image=in_image)
    if options.seccomp_profile and _is_unconfined(pod, written):
        profile = {"type": "Localhost", "localhostProfile": options.seccomp_profile}
        context = written.get("securityContext") or {}
        container["securityContext"] = {**context, "seccompProfile": profile}
    return container


def _command(written: Mapping[str, Any], decision: TakeOn) -> dict[str, Any]:
    prefix = wrapping.prefix(decision.timeout_seconds, in_image=decision.image is not None)
    if decision.config is None:
        return {"command": [*prefix, *written["command"]]}
    return {
        "command": [*prefix, *_literal(decision.config.entrypoint)],
        "args": written.get("args") or _literal(decision.config.cmd),
    }


def _literal(words: Sequence[str]) -> list[str]:
    """An image's words in a pod, where `$(NAME)` would be replaced and `$$` is one dollar."""
    return [word.replace("$", "$$") for word in words]


def _is_unconfined(pod: Pod, written: Mapping[str, Any]) -> bool:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    if {_SECCOMP_OF_POD, _SECCOMP_OF_CONTAINER + written["name"]} & annotations.keys():
        return False
    contexts = [pod["spec"].get("securityContext") or {}, written.get("securityContext") or {}]
    return not any(c.get("seccompProfile") or c.get("privileged") for c in contexts)


def _init_container(
    spec: Mapping[str, Any], written: Mapping[str, Any], options: Options
) -> dict[str, Any]:
    """Puts chrek-init into the pod, and has the kubelet mount the claim for the agent.

    With the chosen container's own limits, since init containers count for a pod's quality of
    service and for quotas; and it passes Pod Security `restricted`.
    """
    resources = written.get("resources") or {}
    limited = {
        kind: {name: asked[name] for name in _LIMITED if name in asked}
        for kind in ("requests", "limits")
        if (asked := resources.get(kind))
    }
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if (spec.get("securityContext") or {}).get("runAsUser") == 0:
        context["runAsUser"] = _USER
    return {
        "name": names.INIT_CONTAINER,
        "image": options.init_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/chrek-init", "install", CHREK_DIR],
        "resources": {kind: asked for kind, asked in limited.items() if asked},
        "securityContext": context,
        "volumeMounts": [
            {"name": names.DIR_VOLUME, "mountPath": CHREK_DIR},
            {"name": names.CLAIM_VOLUME, "mountPath": names.CLAIM_PATH, "readOnly": True},
        ],
    }


def _mounts(*, in_image: bool) -> list[dict[str, Any]]:
    """Of the chosen container, whose application never sees the claim if that can be helped."""
    found: list[dict[str, Any]] = [{"name": names.DIR_VOLUME, "mountPath": CHREK_DIR}]
    if in_image:
        claim = {"name": names.CLAIM_VOLUME, "mountPath": names.CLAIM_PATH, "readOnly": True}
        found.append(claim)
    return found


def _volumes(claim: str) -> list[dict[str, Any]]:
    """The claim is not a read-only volume: the agent writes where the kubelet mounts it."""
    return [
        {"name": names.DIR_VOLUME, "emptyDir": {}},
        {"name": names.CLAIM_VOLUME, "persistentVolumeClaim": {"claimName": claim}},
    ]


def _with(listed: list[Any], index: int, entry: Any) -> list[Any]:
    return [*listed[:index], entry, *listed[index + 1 :]]


def _metadata(
    pod: Pod, written: dict[str, Any], container: dict[str, Any], decision: TakeOn
) -> dict[str, Any]:
    metadata = pod.get("metadata") or {}
    record = _record(written, container, from_image=decision.config is not None)
    found = metadata.get("annotations") or {}
    safe = found.get(names.SAFE_TO_EVICT)
    annotations = {
        **found,
        # Or an emptyDir of chrek's would keep a node from being scaled away.
        names.SAFE_TO_EVICT: f"{safe},{names.DIR_VOLUME}" if safe else names.DIR_VOLUME,
        names.CHECKPOINT_ID: decision.checkpoint_id,
        names.IDENTITY: decision.identity,
        names.AS_WRITTEN: msgspec.json.encode(record).decode(),
    }
    labels = {**(metadata.get("labels") or {}), names.ROLE_LABEL: decision.role}
    return {**metadata, "annotations": annotations, "labels": labels}


def _record(written: dict[str, Any], container: dict[str, Any], *, from_image: bool) -> Record:
    """What the user wrote in each member that is new, but for a command that unwraps to it."""
    new = [member for member in MEMBERS if container.get(member) is not written.get(member)]
    members = {
        member: instead(written.get(member), container[member])
        for member in new
        if from_image or member != "command"
    }
    return Record(container=written["name"], members=members)
