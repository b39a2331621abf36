"""Nonsense is refused, and what helm prints says what is wrong with which value."""

from typing import Any

import pytest

from .rendering import SIZE, Values, refusal


def nested(path: str, value: Any) -> dict[str, Any]:
    """`value` at a.b.c."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


TOGETHER: list[tuple[str, list[Values], str]] = [
    ("no size", [], "How large may the checkpoints be? Set storage.pvc.size, such as 100Gi"),
    ("a size without unit", [nested("storage.pvc.size", "100")], "storage.pvc.size=100 is no size"),
    ("a number as size", [nested("storage.pvc.size", 100)], "storage.pvc.size=100 is no size"),
    ("a size of nothing", [nested("storage.pvc.size", "0Gi")], "storage.pvc.size=0Gi is no size"),
    ("a size in words", [nested("storage.pvc.size", "big")], "give a number with a unit"),
    (
        "a size for a claim that is there",
        [SIZE, nested("storage.pvc.existingClaim", "models")],
        "storage.pvc.existingClaim=models is there already",
    ),
    (
        "one node at a time by accident",
        [SIZE, nested("storage.pvc.accessMode", "ReadWriteOnce")],
        "pins every pod to the node that holds the claim",
    ),
    (
        "claims elsewhere from a release for one namespace",
        [SIZE, nested("storage.pvc.namespaces", ["team-a"])],
        "storage.pvc.namespaces is for rbac.namespaced=false",
    ),
    (
        "all namespaces, and one",
        [nested("rbac.namespaced", False), nested("watchNamespace", "team-a")],
        "watchNamespace=team-a and rbac.namespaced=false contradict each other",
    ),
    (
        "all namespaces, one claim",
        [nested("rbac.namespaced", False), nested("storage.pvc.existingClaim", "models")],
        "storage.pvc.existingClaim has no meaning with rbac.namespaced=false",
    ),
    (
        "all namespaces, a size for nothing",
        [SIZE, nested("rbac.namespaced", False)],
        "say in storage.pvc.namespaces where claims are to be made",
    ),
    (
        "claims of no size",
        [nested("rbac.namespaced", False), nested("storage.pvc.namespaces", ["team-a"])],
        "How large may the checkpoints of each namespace be?",
    ),
    (
        "an issuer without cert-manager",
        [SIZE, nested("certificates.issuerRef.name", "company")],
        "certificates.issuerRef.name=company is for certificates.provider=cert-manager",
    ),
    (
        "a CA that dies first",
        [SIZE, nested("certificates.caLifetimeSeconds", 7776001)],
        "certificates.caLifetimeSeconds must be at least three times",
    ),
    (
        "shorter than cert-manager can",
        [
            SIZE,
            nested("certificates.provider", "cert-manager"),
            nested("certificates.servingLifetimeSeconds", 600),
        ],
        "certificates.servingLifetimeSeconds must be 3600 or more with cert-manager",
    ),
    (
        "chrek's own label",
        [SIZE, nested("webhook.podLabels", {"chrek.io/component": "none"})],
        "webhook.podLabels must not hold chrek.io/component",
    ),
    (
        "a selector's label",
        [SIZE, nested("agent.podLabels", {"app.kubernetes.io/name": "mine"})],
        "agent.podLabels must not hold app.kubernetes.io/name",
    ),
]


@pytest.mark.parametrize(
    ("values", "said"),
    [(values, said) for _, values, said in TOGETHER],
    ids=[name for name, *_ in TOGETHER],
)
def test_values_that_do_not_go_together_are_refused_with_a_sentence(
    values: list[Values], said: str
) -> None:
    assert said in refusal(*values)


ALONE: list[tuple[str, Any, str]] = [
    ("watchNamespace", "Team_A", "does not match pattern"),
    ("watchNamespace", "a" * 64, "maxLength"),
    ("watchNamespace", ["team-a"], "want string"),
    ("logLevel", "loud", "value must be one of 'debug', 'info', 'warning', 'error'"),
    ("rbac.namespaced", "false", "got string, want boolean"),
    ("rbac.clusterWide", True, "'clusterWide' not allowed"),
    ("storage.pvc.accessMode", "ReadWriteMayn", "'ReadWriteMany', 'ReadWriteOnce'"),
    ("storage.pvc.accessMode", "ReadOnlyMany", "'ReadWriteMany', 'ReadWriteOnce'"),
    ("storage.pvc.accessMode", "ReadWriteOncePod", "'ReadWriteMany', 'ReadWriteOnce'"),
    ("storage.pvc.name", "", "does not match pattern"),
    ("storage.pvc.name", "my claim", "does not match pattern"),
    ("storage.pvc.storageClas", "nfs", "'storageClas' not allowed"),
    ("storage.pvc.namespaces", ["a", "a"], "items at 0 and 1 are equal"),
    ("storage.size", "100Gi", "'size' not allowed"),
    ("images.pullPolicy", "Sometimes", "'Always', 'IfNotPresent', 'Never'"),
    ("images.pullSecrets", ["registry"], "want object"),
    ("images.agent.digest", "sha256:abc", "does not match pattern"),
    ("images.agent.tag", "a b", "does not match pattern"),
    ("images.agent.repository", "docker.io/chrek/agent:1", "does not match pattern"),
    ("images.agent.repository", "docker.io/chrek/agent@sha256:1", "does not match pattern"),
    ("images.agent.repository", "", "does not match pattern"),
    ("webhook.replicas", 0, "minimum"),
    ("webhook.replicas", "2", "got string, want integer"),
    ("webhook.sandboxedRuntimeClasses", [], "minItems"),
    ("webhook.sandboxedRuntimeClasses", "gvisor", "want array"),
    ("webhook.resources", {"request": {"cpu": 1}}, "'request' not allowed"),
    ("webhook.resources", {"requests": {"cpu": "lots"}}, "does not match pattern"),
    ("webhook.tolerations", [{"operator": "In"}], "'Exists', 'Equal'"),
    ("webhook.nodeSelector", {"gpu": True}, "got boolean, want string"),
    ("webhook.affinity", {"nodeAfinity": {}}, "'nodeAfinity' not allowed"),
    ("agent.kubeletDir", "var/lib/kubelet", "does not match pattern"),
    ("agent.kubeletDir", "/var/lib/kubelet/", "does not match pattern"),
    ("agent.criSocket", "unix:///run/containerd.sock", "does not match pattern"),
    ("agent.criSocket", "/run/", "does not match pattern"),
    ("agent.restores", -1, "minimum"),
    ("agent.restores", "all", "want integer"),
    ("agent.captures", 0, "minimum"),
    ("agent.idleWaitSeconds", "60s", "want integer"),
    ("agent.filesLimit", "2GiB", "does not match pattern"),
    ("agent.filesLimit", "", "does not match pattern"),
    ("agent.filesLimit", 2048, "want string"),
    ("agent.nodeCache.path", "cache", "does not match pattern"),
    ("agent.nodeCache.path", "/cache/", "does not match pattern"),
    ("agent.nodeCache.size", "", "does not match pattern"),
    ("agent.nodeCache.size", "20GiB", "does not match pattern"),
    ("agent.nodeCache.size", 20, "maximum"),
    ("agent.maxUnavailable", "0%", "does not match pattern"),
    ("agent.maxUnavailable", 0, "minimum"),
    ("agent.runtimeClassName", "Nvidia", "does not match pattern"),
    ("agent.extraEnv", {"A": "b"}, "want array"),
    ("agent.extraEnv", [{"value": "b"}], "missing property 'name'"),
    ("agent.extraEnv", [{"name": "A", "value": 1}], "want string"),
    ("agent.extraVolumes", [{"emptyDir": {}}], "missing property 'name'"),
    ("agent.extraVolumeMounts", [{"name": "a"}], "missing property 'mountPath'"),
    ("storage.keep", 0, "minimum"),
    ("storage.keep", "2", "want integer"),
    ("storage.maxBytes", "lots", "does not match pattern"),
    ("storage.maxBytes", 100, "want string"),
    ("storage.compression", "gzip", "does not match pattern"),
    ("storage.compression", "zstd:23", "does not match pattern"),
    ("storage.compressionThreads", -1, "minimum"),
    ("signing.secretName", "My Keys", "does not match pattern"),
    ("signing.secret", "keys", "'secret' not allowed"),
    ("seccomp.apply", "yes", "got string, want boolean"),
    ("certificates.provider", "vault", "'chrek', 'cert-manager'"),
    ("certificates.servingLifetimeSeconds", 1, "minimum"),
    ("certificates.servingLifetimeSeconds", "90d", "want integer"),
    ("networkPolicy", True, "want object"),
    ("unheardOf", 1, "'unheardOf' not allowed"),
]


@pytest.mark.parametrize(
    ("path", "value", "said"), ALONE, ids=[f"{path}={value!s:.40}" for path, value, _ in ALONE]
)
def test_a_value_that_is_nonsense_by_itself_is_refused_by_its_name(
    path: str, value: object, said: str
) -> None:
    message = refusal(SIZE, nested(path, value))
    assert said in message
    parent = path.rpartition(".")[0] if "not allowed" in said else path
    assert f"'/{parent.replace('.', '/')}" in message or not parent
