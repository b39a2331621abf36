"""What a pod belongs to, as people name it: `Deployment/web`, `Job/train`, `Pod/shell`.

Checkpoints of one workload share retention (agent.plan.retention) and history
(agent.plan.history).
"""

import hashlib
from typing import Final

from agent.plan.reading import JSON, entries, text
from chrek.pods import names

LABEL: Final = f"{names.GROUP}/workload"
"""On a Checkpoint: a label for selecting (`label`), and an annotation for people."""

_TEMPLATE_HASH: Final = "pod-template-hash"


def workload(pod: JSON) -> str:
    """Of `pod`. A Deployment is known by its ReplicaSet's name and the hash in it.

    The Job of a CronJob stays a Job: what a name ends with does not tell whose it is. Its runs
    share a Checkpoint all the same, whose id comes from the pod.
    """
    own = f"Pod/{text(pod, 'metadata', 'name') or text(pod, 'metadata', 'generateName')}"
    for owner in entries(pod, "metadata", "ownerReferences"):
        kind, name = text(owner, "kind", most=253), text(owner, "name", most=253)
        if owner.get("controller") is True and kind and name:
            digest = text(pod, "metadata", "labels", _TEMPLATE_HASH)
            if kind == "ReplicaSet" and digest and name.endswith(f"-{digest}"):
                return f"Deployment/{name.removesuffix(f'-{digest}')}"
            return f"{kind}/{name}"
    return own


def label(of: str) -> str:
    """16 hex characters of a workload: a label's value has no slash and at most 63 characters."""
    return hashlib.sha256(of.encode()).hexdigest()[:16]
