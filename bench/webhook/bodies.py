"""The AdmissionReview that every side gets: a model server's pod as an API server sends it."""

import json
from typing import Any, Final

CLAIM: Final = "chrek-checkpoints"
NAMESPACE: Final = "models"

_HEALTH = {"httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"}}
_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute",
     "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]  # fmt: skip


def pod(*, annotated: bool) -> dict[str, Any]:
    """As a ReplicaSet makes it, with the API server's defaults."""
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "llm-5d9c7b8f6-",
            "namespace": NAMESPACE,
            "labels": {"app": "llm", "pod-template-hash": "5d9c7b8f6"},
            "annotations": {"prometheus.io/scrape": "true"}
            | ({"chrek.io/checkpoint": "auto"} if annotated else {}),
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "llm-5d9c7b8f6",
                 "uid": "2f1c7a34-58b1-4d0e-9a53-64f1a8f0c1de", "controller": True,
                 "blockOwnerDeletion": True}
            ],
        },
        "spec": {
            "volumes": [
                {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
                {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt",
                                   "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                ]}},
            ],
            "containers": [_container()],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": _TOLERATIONS,
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    }  # fmt: skip


def _container() -> dict[str, Any]:
    asked = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"}
    return {
        "name": "main",
        "image": "docker.io/vllm/vllm-openai:v0.11.0",
        "command": ["vllm", "serve"],
        "args": ["--model", "/models/llama-3.1-8b", "--port", "8000"],
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "env": [
            {"name": "HF_HOME", "value": "/models/cache"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1",
                                                          "fieldPath": "status.podIP"}}},
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
        ],
        "resources": {"limits": asked, "requests": asked},
        "volumeMounts": [
            {"name": "models", "mountPath": "/models"},
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "kube-api-access-x7k2p", "readOnly": True,
             "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ],
        "livenessProbe": {**_HEALTH, "initialDelaySeconds": 120, **_DEFAULTS},
        "readinessProbe": {**_HEALTH, "initialDelaySeconds": 40, **_DEFAULTS},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }  # fmt: skip


def review(*, annotated: bool) -> bytes:
    """The request's body."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    return json.dumps(
        {
            "kind": "AdmissionReview",
            "apiVersion": "admission.k8s.io/v1",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": kind,
                "resource": resource,
                "requestKind": kind,
                "requestResource": resource,
                "namespace": NAMESPACE,
                "operation": "CREATE",
                "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller",
                             "groups": ["system:serviceaccounts", "system:authenticated"]},
                "object": pod(annotated=annotated),
                "oldObject": None,
                "dryRun": False,
                "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
            },
        },
        separators=(",", ":"),
    ).encode()  # fmt: skip
