"""Ways to install the chart, each with values that bring other objects or fields."""

from .rendering import SIZE, Values, merged

_CLUSTER_WIDE: Values = {"rbac": {"namespaced": False}}
_CERT_MANAGER: Values = merged(SIZE, {"certificates": {"provider": "cert-manager"}})
_POD: Values = {
    "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"nvidia.com/gpu": 1}},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]},
                ]
            }
        }
    },
    "podAnnotations": {"prometheus.io/scrape": "true"},
    "podLabels": {"team": "ml"},
}

VALUE_SETS: dict[str, Values] = {
    "one line": SIZE,
    "another namespace": merged(SIZE, {"watchNamespace": "team-a"}),
    "all labelled namespaces": _CLUSTER_WIDE,
    "all labelled namespaces, claims in two": merged(
        SIZE, _CLUSTER_WIDE, {"storage": {"pvc": {"namespaces": ["team-a", "123"]}}}
    ),
    "existing claim": {"storage": {"pvc": {"existingClaim": "models"}}},
    "read write once": merged(
        SIZE,
        {
            "storage": {
                "allowReadWriteOnce": True,
                "pvc": {"accessMode": "ReadWriteOnce", "storageClass": "", "keep": False},
            }
        },
    ),
    "cert-manager": _CERT_MANAGER,
    "cert-manager, an issuer that is there": merged(
        _CERT_MANAGER,
        {"certificates": {"issuerRef": {"name": "company", "kind": "ClusterIssuer"}}},
    ),
    "seccomp and registries": merged(
        SIZE, {"seccomp": {"apply": True}, "webhook": {"registryLookup": True}}
    ),
    "seccomp and registries, everywhere": merged(
        _CLUSTER_WIDE, {"seccomp": {"apply": True}, "webhook": {"registryLookup": True}}
    ),
    "an odd node": merged(
        SIZE,
        {
            "agent": {
                "criSocket": "/var/snap/microk8s/common/run/containerd.sock",
                "runtimeClassName": "nvidia",
                "driverLibraries": "/opt/nvidia/lib64",
                "maxUnavailable": 1,
                "restores": 4,
                "captures": 2,
                "idleWaitSeconds": 5,
                "filesLimit": "512Mi",
                "nodeCache": {"path": "/mnt/fast", "size": "1.5Ti"},
                "extraEnv": [
                    {"name": "CHREK_CRIU_BUNDLE", "value": "/bundle"},
                    {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                ],
                "extraVolumes": [{"name": "bundle", "hostPath": {"path": "/opt/bundle"}}],
                "extraVolumeMounts": [{"name": "bundle", "mountPath": "/bundle"}],
            },
            "webhook": {"sandboxedRuntimeClasses": ["enclave-*", "*-vm"]},
            "storage": {
                "keep": 5,
                "maxBytes": "1.5Ti",
                "compression": "zstd:3",
                "compressionThreads": 2,
            },
            "signing": {"secretName": "company.keys"},
        },
    ),
    "nothing on the nodes' disks": merged(SIZE, {"agent": {"nodeCache": {"size": 0}}}),
    "no network policy, no roles for people": merged(
        SIZE, {"networkPolicy": {"enabled": False}, "rbac": {"aggregateToView": False}}
    ),
    "everything about pods": merged(
        SIZE,
        {
            "webhook": _POD,
            "agent": _POD,
            "images": {
                "pullPolicy": "Always",
                "pullSecrets": [{"name": "registry"}],
                "agent": {"digest": "sha256:" + "a" * 64},
                "webhook": {"repository": "registry.example:5000/a/b", "tag": "1.2"},
            },
        },
    ),
}
