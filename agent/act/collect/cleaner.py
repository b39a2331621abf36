"""The pod that mounts a claim for as long as it is cleaned, where no other pod has it mounted.

It does nothing: the kubelet mounts the claim for it, and the agent of its node works on the host.
Pure.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.plan.checkpoint import CheckpointView
from agent.plan.reading import JSON, entries, strings, text
from chrek.ids import is_label
from chrek.names import CHREK_DIR
from chrek.pods import names

COMPONENT: Final = "cleaner"
CONTAINER: Final = "cleaner"
PREFIX: Final = "chrek-cleaner-"

_LABEL_CHARACTERS: Final = 63
_HASH_CHARACTERS: Final = 16
_WAIT_SECONDS: Final = 600
_MOST_SECONDS: Final = 900
_MOST_OWNERS: Final = 100


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes cleaners. node: its own, where it can do the work itself. release_namespace:
    where the agents' pods are."""

    node: str
    release_namespace: str
    image: str


def name(claim: str) -> str:
    """Of the one cleaner of a claim, whoever makes it and however much there is to remove."""
    plain = PREFIX + claim
    if is_label(plain):
        return plain
    return PREFIX + hashlib.sha256(claim.encode()).hexdigest()[:_HASH_CHARACTERS]


def claim_of(pod: JSON) -> str | None:
    """The claim that a pod was made to clean, None for any other pod."""
    if strings(pod, "metadata", "labels").get(names.COMPONENT_LABEL) != COMPONENT:
        return None
    for volume in entries(pod, "spec", "volumes"):
        if text(volume, "name") == names.CLAIM_VOLUME:
            return text(volume, "persistentVolumeClaim", "claimName", most=253) or None
    return None


def pod(claim: str, wanted: Sequence[CheckpointView], maker: Maker) -> JSON:
    """As it is created. wanted: why, all of one namespace; once they are gone, so is the pod,
    also if no agent lives to delete it.

    The claim is no read-only volume: the agent writes where the kubelet mounts it. Pod Security
    `restricted` lets it in.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(claim),
            "namespace": wanted[0].namespace,
            "labels": {
                "app.kubernetes.io/name": "chrek",
                "app.kubernetes.io/component": COMPONENT,
                names.COMPONENT_LABEL: COMPONENT,
            },
            "ownerReferences": [_owner(each) for each in wanted[:_MOST_OWNERS]],
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _MOST_SECONDS,
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            # PodSecurityPolicies look for the profile here, Pod Security at either place.
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "affinity": _affinity(maker),
            "containers": [_container(maker)],
            "volumes": [
                {"name": names.DIR_VOLUME, "emptyDir": {}},
                {"name": names.CLAIM_VOLUME, "persistentVolumeClaim": {"claimName": claim}},
            ],
        },
    }


def _owner(checkpoint: CheckpointView) -> JSON:
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": "Checkpoint",
        "name": checkpoint.name,
        "uid": checkpoint.uid,
    }


def _affinity(maker: Maker) -> JSON:
    """Where an agent can do the work: if the volume allows it, the one that asks."""
    agents = {
        "labelSelector": {"matchLabels": {names.COMPONENT_LABEL: "agent"}},
        "namespaces": [maker.release_namespace],
        "topologyKey": "kubernetes.io/hostname",
    }
    own = {"key": "metadata.name", "operator": "In", "values": [maker.node]}
    preferred = {"weight": 100, "preference": {"matchFields": [own]}}
    return {
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [agents]},
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]},
    }


def _container(maker: Maker) -> JSON:
    least = {"cpu": "10m", "memory": "16Mi"}
    return {
        "name": CONTAINER,
        "image": maker.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [
            "/chrek-init", "wait", "--timeout", str(_WAIT_SECONDS), "--", "/chrek-init", "version",
        ],
        "resources": {"requests": least, "limits": least},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": names.DIR_VOLUME, "mountPath": CHREK_DIR},
            {"name": names.CLAIM_VOLUME, "mountPath": names.CLAIM_PATH, "readOnly": True},
        ],
    }  # fmt: skip
