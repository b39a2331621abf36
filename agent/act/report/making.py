"""What a Checkpoint object is when it begins: pure."""

from typing import Any, Final

from agent.plan.checkpoint import FINALIZER
from agent.plan.pod import PodView
from agent.plan.workload import LABEL, label
from chrek.kube.api import JSON
from chrek.pods import names

_API_VERSION: Final = f"{names.GROUP}/{names.VERSION}"


def collection(namespace: str) -> str:
    """Where the Checkpoints of a namespace are."""
    return f"/apis/{_API_VERSION}/namespaces/{namespace}/{names.PLURAL}"


def path(namespace: str, name: str) -> str:
    """Where one of them is."""
    return f"{collection(namespace)}/{name}"


def new(pod: PodView, name: str) -> JSON:
    """The Checkpoint `name` of a pod; its data is removed before it is."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "Checkpoint",
        "metadata": {
            "name": name,
            "namespace": pod.namespace,
            "finalizers": [FINALIZER],
            "labels": {LABEL: label(pod.workload)},
            "annotations": {LABEL: pod.workload},
        },
        "spec": {"claim": pod.claim} if pod.claim else {},
    }


def lacking(pod: PodView, found: JSON) -> JSON | None:
    """What a Checkpoint that exists lacks, as a patch of just this version of it."""
    metadata = found["metadata"]
    if metadata.get("deletionTimestamp"):
        return None
    wanted: dict[str, Any] = {}
    finalizers = metadata.get("finalizers") or []
    if FINALIZER not in finalizers:
        wanted["finalizers"] = [*finalizers, FINALIZER]
    for member, value in (("labels", label(pod.workload)), ("annotations", pod.workload)):
        if LABEL not in (metadata.get(member) or {}):
            wanted[member] = {LABEL: value}
    spec = {} if (found.get("spec") or {}).get("claim") or not pod.claim else {"claim": pod.claim}
    if not wanted and not spec:
        return None
    version = {"resourceVersion": metadata["resourceVersion"]}
    return {"metadata": {**version, **wanted}, **({"spec": spec} if spec else {})}


def begun(status: JSON, identity: str, generation: object) -> JSON:
    """With a phase, if it has none: `kubectl get ckpt` shows it from the first moment."""
    if status.get("phase"):
        return status
    known = {"identity": identity} if identity else {}
    return {**known, "observedGeneration": generation, **status, "phase": "Pending"}
