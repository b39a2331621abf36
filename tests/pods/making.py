"""Pods as an API server shows them to a webhook: defaults filled in, empty members left out."""

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Pod = dict[str, Any]

few = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
"""As many pods as two cores look at in a second."""

IMAGE = "registry.example/team/server:1"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
PROBE: dict[str, Any] = {"httpGet": {"path": "/", "port": 8000, "scheme": "HTTP"}} | DEFAULTS


def container(**members: Any) -> dict[str, Any]:
    """The one that chrek chooses; a member that is None is left out."""
    written = {
        "name": "main",
        "image": IMAGE,
        "command": ["python3", "-m", "server"],
        "resources": {},
        "readinessProbe": PROBE,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    } | members
    return as_json({key: value for key, value in written.items() if value is not None})


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """Another object, in which, as in all that comes over a wire, nothing is shared."""
    found: dict[str, Any] = json.loads(json.dumps(value))
    return found


def pod(*containers: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> Pod:
    """An annotated pod, of one server where no containers are given."""
    written = {"chrek.io/checkpoint": "auto"} | (annotations or {})
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": "server-5d9c7b8f6-",
            "creationTimestamp": None,
            "labels": {"app": "server"},
            "annotations": written,
        },
        "spec": {
            "containers": list(containers) or [container()],
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            **as_json(spec),
        },
        "status": {},
    }


text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(
    lambda name: not name.startswith("chrek")
)
words = st.lists(text.filter(bool), min_size=1, max_size=4)
quantities = st.integers(1, 3).map(lambda n: f"{n}")

_keys = st.dictionaries(st.text("abc./-", min_size=1, max_size=8), text, max_size=3)
_sources = st.one_of(
    st.builds(lambda n, k: {"secretKeyRef": {"name": n, "key": k}}, labels, labels),
    st.builds(lambda n, k: {"configMapKeyRef": {"name": n, "key": k}}, labels, labels),
    st.just({"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}),
)
_variables = st.one_of(
    st.builds(lambda name, value: {"name": name, "value": value}, labels, text.filter(bool)),
    st.builds(lambda name, source: {"name": name, "valueFrom": source}, labels, _sources),
)
_resources = st.builds(
    lambda requests, limits: {"requests": {**limits, **requests}, "limits": limits},
    st.dictionaries(st.sampled_from(["cpu", "memory", "ephemeral-storage"]), quantities),
    st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), quantities),
).map(lambda made: {kind: asked for kind, asked in made.items() if asked})
probes = st.builds(
    lambda action, numbers: {**action, **DEFAULTS, **numbers},
    st.sampled_from(
        [{"httpGet": {"path": "/", "port": 1}}, {"exec": {"command": ["a"]}}, {"grpc": {"port": 1}}]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "initialDelaySeconds": st.integers(1, 100),
            "periodSeconds": st.integers(1, 60),
            "timeoutSeconds": st.integers(1, 60),
            "failureThreshold": st.integers(1, 60),
        },
    ),
)
_contexts = st.fixed_dictionaries(
    {},
    optional={
        "runAsUser": st.integers(0, 2),
        "readOnlyRootFilesystem": st.booleans(),
        "capabilities": st.just({"drop": ["ALL"]}),
        "seccompProfile": st.just({"type": "RuntimeDefault"}),
    },
)
_mounts = st.lists(
    st.builds(lambda name: {"name": name, "mountPath": f"/data/{name}"}, labels), min_size=1
)


def containers(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Of this name; commands that are absent need an image's."""
    return st.fixed_dictionaries(
        {"name": st.just(name), "image": st.sampled_from(["a:1", "b@sha256:0"])},
        optional={
            "command": words,
            "args": words,
            "workingDir": st.just("/srv"),
            "env": st.lists(_variables, min_size=1, max_size=4),
            "envFrom": st.just([{"configMapRef": {"name": "settings"}}]),
            "resources": _resources,
            "volumeMounts": _mounts,
            "startupProbe": probes,
            "readinessProbe": probes,
            "livenessProbe": probes,
            "securityContext": _contexts,
            "stdin": st.just(True),
        },
    )


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    """Any pod that chrek would take on, and some that it would not."""
    listed = draw(st.lists(labels, min_size=1, max_size=3, unique=True))
    made = pod(*[draw(containers(name)) for name in listed])
    made["metadata"]["annotations"] |= draw(_keys)
    made["spec"] |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "initContainers": st.lists(labels.flatmap(containers), min_size=1, max_size=2),
                "volumes": st.just([{"name": "data", "emptyDir": {}}]),
                "hostNetwork": st.just(True),
                "nodeSelector": st.just({"gpu": "yes"}),
                "futureMember": st.just({"of": ["a newer", {"API": 1.5}]}),
            },
        )
    )
    return made
