"""Pods as a node's agent sees them, admitted by the real admission, and Checkpoints."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from agent.plan import checkpoint as checkpoints
from agent.plan import pod as pods
from agent.plan.checkpoint import CheckpointView
from agent.plan.fit import Here
from agent.plan.pod import PodView
from agent.plan.status import stamp

from ..pods.making import Pod, container, text
from ..pods.making import pod as written
from ..webhook.worlds import admitted, known

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
STARTED = NOW - timedelta(minutes=5)
DIGEST = "sha256:" + "a" * 64
HERE = Here("amd64", DIGEST, "")
VARIANT = "0123456789abcdef"
OTHER = "fedcba9876543210"

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | text | st.floats() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


def after(seconds: float) -> datetime:
    """So long after the container's start."""
    return STARTED + timedelta(seconds=seconds)


def live(found: Pod, *, ready_after: float | None = 40, **members: Any) -> Pod:
    """`found` as it runs on a node since STARTED. ready_after: seconds from there; None: never."""
    made = copy.deepcopy(found)
    made["metadata"] |= {
        "name": "web-5d9c7b8f6-x7k2p",
        "namespace": "ml",
        "uid": "11111111-2222-3333-4444-555555555555",
        "resourceVersion": "42",
        "creationTimestamp": stamp(STARTED - timedelta(seconds=10)),
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9c7b8f6",
             "controller": True, "uid": "6"}
        ],
    }  # fmt: skip
    made["metadata"]["labels"] |= {"pod-template-hash": "5d9c7b8f6"}
    made["spec"]["nodeName"] = "node-1"
    is_ready = ready_after is not None
    made["status"] = {
        "phase": "Running",
        "conditions": [
            {"type": "ContainersReady", "status": "True" if is_ready else "False",
             "lastTransitionTime": stamp(after(ready_after or 0))}
        ],
        "containerStatuses": [
            {"name": one["name"], "ready": is_ready, "restartCount": 0,
             "containerID": "containerd://" + "c" * 64,
             "state": {"running": {"startedAt": stamp(STARTED)}}}
            for one in made["spec"]["containers"]
        ],
    }  # fmt: skip
    made["metadata"] |= members
    return made


def taken_on(*containers: dict[str, Any], **more: Any) -> Pod:
    """As the API server stores a pod that admission took on."""
    return admitted(written(*containers, **more), known())


def view(found: Pod | None = None, **namespace: str) -> PodView:
    """Of a pod that is wrapped, warm and running, unless another is given."""
    return pods.parse(live(taken_on()) if found is None else found, namespace)


def viewed(*containers: dict[str, Any], ready_after: float | None = 40, **more: Any) -> PodView:
    """Of a running pod of these containers."""
    return view(live(taken_on(*containers, **more), ready_after=ready_after))


def unprobed(**members: Any) -> dict[str, Any]:
    """A container without a probe, but for those that are given."""
    return container(**{"readinessProbe": None} | members)


def variant(name: str = VARIANT, *, age: float = 7200, **members: Any) -> dict[str, Any]:
    """In a status; made `age` seconds ago."""
    return {
        "name": name, "phase": "Ready", "createdAt": stamp(NOW - timedelta(seconds=age)),
        "sizeBytes": 1 << 30, "node": "node-1", "architecture": "amd64", "imageDigest": DIGEST,
    } | members  # fmt: skip


def status(*variants: dict[str, Any], **members: Any) -> dict[str, Any]:
    """With these variants."""
    phase = "Ready" if any(one["phase"] == "Ready" for one in variants) else "Pending"
    return {"phase": phase, "variants": list(variants)} | members


def checkpoint(
    *variants: dict[str, Any],
    name: str | None = None,
    spec: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    **members: Any,
) -> CheckpointView:
    """Of the pod that `view()` gives, unless it is named."""
    own = view().identity
    return checkpoints.parse(
        {
            "metadata": {
                "name": name or own, "namespace": "ml", "uid": "7", "resourceVersion": "1",
                "creationTimestamp": stamp(NOW - timedelta(days=1)),
                "finalizers": ["chrek.io/data"],
                "annotations": {"chrek.io/workload": "Deployment/web"},
            } | (metadata or {}),
            "spec": {"claim": "chrek-checkpoints"} | (spec or {}),
            "status": status(*variants, **({"identity": own} | members)),
        }
    )  # fmt: skip
