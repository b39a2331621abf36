"""Pods that a checkpoint fits share an identity; a pod that it does not fit has another."""

import copy
import random
from collections.abc import Callable
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chrek.pods.identity import identity

from .making import IMAGE, PROBE, TOKEN_PATH, Pod, container, few, labels, pod, pods

REFERENCE = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
FULL = container(
    args=["--port", "8000"],
    workingDir="/srv",
    env=[{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}, REFERENCE],
    envFrom=[{"secretRef": {"name": "s"}}, {"prefix": "P_", "configMapRef": {"name": "c"}}],
    resources={"limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}},
    volumeMounts=[{"name": "models", "mountPath": "/models"}],
    securityContext={"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
)


def of(found: Pod, *ignored: str, at: int = 0) -> str:
    chosen = found["spec"]["containers"][at]
    return identity(found, chosen, image=chosen["image"], ignore_env=frozenset(ignored))


def changed(change: Callable[[Pod, dict[str, Any]], object], *contents: dict[str, Any]) -> Pod:
    """A pod of `contents`, with `change` done to it and its first container."""
    found = pod(*copy.deepcopy(contents or (FULL,)))
    change(found, found["spec"]["containers"][0])
    return found


def reordered(value: Any, order: random.Random) -> Any:
    """The same JSON with the members of its objects in another order."""
    if isinstance(value, list):
        return [reordered(entry, order) for entry in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    order.shuffle(keys)
    return {key: reordered(value[key], order) for key in keys}


def test_an_identity_is_16_hex_characters_and_a_promise() -> None:
    assert of(pod()) == "bc2a8b908bd1b1d1", "older checkpoints no longer fit: raise _FORM, say why"


@few
@given(pods(), st.randoms(use_true_random=False))
def test_the_order_of_members_does_not_matter(found: Pod, order: random.Random) -> None:
    assert of(found) == of(reordered(found, order))


@few
@given(pods(), labels, labels)
def test_what_the_service_account_plugin_mounts_does_not_matter(
    found: Pod, name: str, other: str
) -> None:
    ids = {of(found)}
    for suffix in (name, other):
        mounted = copy.deepcopy(found)
        volume = f"kube-api-access-{suffix}"
        mounted["spec"].setdefault("volumes", []).append({"name": volume, "projected": {}})
        for one in mounted["spec"]["containers"]:
            mount = {"name": volume, "mountPath": TOKEN_PATH, "readOnly": True}
            one["volumeMounts"] = [*one.get("volumeMounts", []), mount]
        mounted["spec"] |= {"serviceAccountName": name, "serviceAccount": name}
        ids.add(of(mounted))
    assert len(ids) == 1


@few
@given(pods(), labels)
def test_what_other_webhooks_add_around_the_container_does_not_matter(
    found: Pod, name: str
) -> None:
    crowded = copy.deepcopy(found)
    chosen = crowded["spec"]["containers"][0]
    sidecar = {"name": "sidecar", "image": "mesh", "env": [{"name": "X", "value": name}]}
    crowded["spec"]["containers"] += [sidecar]
    crowded["spec"]["initContainers"] = [*crowded["spec"].get("initContainers", []), sidecar]
    crowded["spec"]["volumes"] = [*crowded["spec"].get("volumes", []), {"name": name}]
    crowded["spec"]["tolerations"] = [{"key": name, "operator": "Exists"}]
    crowded["metadata"] |= {"name": name, "uid": name, "labels": {"x": name}}
    crowded["metadata"]["annotations"] |= {"x": name}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        chosen[kind] = PROBE
    resources = chosen.setdefault("resources", {})
    for kind in ("requests", "limits"):
        resources[kind] = resources.get(kind, {}) | {"cpu": "7", "memory": "7Gi"}
    assert of(crowded) == of(found)


def test_what_the_api_server_fills_in_does_not_matter() -> None:
    def fill_in(_: Pod, one: dict[str, Any]) -> None:
        one["env"] += [
            {"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "x"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "cpu", "divisor": "0"}}},
        ]
        one["env"][2]["valueFrom"]["secretKeyRef"]["optional"] = False
        one["envFrom"][0]["secretRef"]["optional"] = False
        one["resources"]["requests"] = dict(one["resources"]["limits"])
        one["securityContext"] |= {"privileged": False, "readOnlyRootFilesystem": False}

    def written(_: Pod, one: dict[str, Any]) -> None:
        one["env"] += [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "cpu"}}},
        ]

    assert of(changed(fill_in)) == of(changed(written))


def test_the_same_user_is_the_same_wherever_it_is_written() -> None:
    context = {"runAsUser": 7, "runAsGroup": 8, "seccompProfile": {"type": "RuntimeDefault"}}
    on_pod = changed(lambda p, c: p["spec"].update(securityContext=context), container())
    on_container = changed(lambda p, c: c.update(securityContext=context), container())
    overridden = changed(
        lambda p, c: (
            p["spec"].update(securityContext={**context, "runAsUser": 1}),
            c.update(securityContext={"runAsUser": 7}),
        ),
        container(),
    )
    assert of(on_pod) == of(on_container) == of(overridden)


def test_spellings_that_mean_the_same_are_the_same() -> None:
    def spell(_: Pod, one: dict[str, Any]) -> None:
        one["securityContext"]["capabilities"]["add"] = ["CAP_NET_BIND_SERVICE"]
        one["volumeMounts"] = [{"name": "models", "mountPath": "/models/", "readOnly": True}]

    assert of(changed(spell)) == of(changed(lambda p, c: None))


MATTERS: dict[str, Callable[[Pod, dict[str, Any]], object]] = {
    "nothing": lambda p, c: None,
    "image": lambda p, c: c.update(image=IMAGE + ".1"),
    "command": lambda p, c: c["command"].append("x"),
    "no command": lambda p, c: c.pop("command"),
    "command in one word": lambda p, c: c.update(command=[" ".join(c["command"])]),
    "args": lambda p, c: c["args"].append("x"),
    "no args": lambda p, c: c.pop("args"),
    "args in the command": lambda p, c: c.update(command=[*c["command"], *c.pop("args")]),
    "working directory": lambda p, c: c.update(workingDir="/"),
    "env value": lambda p, c: c["env"][0].update(value="2"),
    "env name": lambda p, c: c["env"][0].update(name="AA"),
    "env order": lambda p, c: c["env"].reverse(),
    "env gone": lambda p, c: c["env"].pop(),
    "env twice": lambda p, c: c["env"].append(c["env"][0]),
    "reference to another key": lambda p, c: c["env"][2].update(
        valueFrom={"secretKeyRef": {"name": "s", "key": "other"}}
    ),
    "reference to another kind": lambda p, c: c["env"][2].update(
        valueFrom={"configMapKeyRef": {"name": "s", "key": "k"}}
    ),
    "optional reference": lambda p, c: c["env"][2]["valueFrom"]["secretKeyRef"].update(
        optional=True
    ),
    "envFrom": lambda p, c: c["envFrom"].pop(),
    "envFrom order": lambda p, c: c["envFrom"].reverse(),
    "envFrom prefix": lambda p, c: c["envFrom"][1].update(prefix="Q_"),
    "mount": lambda p, c: c["volumeMounts"].append({"name": "x", "mountPath": "/x"}),
    "mount elsewhere": lambda p, c: c["volumeMounts"][0].update(mountPath="/m"),
    "GPUs": lambda p, c: c["resources"]["limits"].update({"nvidia.com/gpu": "2"}),
    "another GPU resource": lambda p, c: c["resources"].update(limits={"nvidia.com/mig-1g": "1"}),
    "no GPU": lambda p, c: c["resources"]["limits"].pop("nvidia.com/gpu"),
    "root": lambda p, c: c["securityContext"].update(runAsUser=0),
    "user": lambda p, c: c["securityContext"].update(runAsUser=1),
    "root group": lambda p, c: c["securityContext"].update(runAsGroup=0),
    "capability added": lambda p, c: c["securityContext"]["capabilities"]["add"].append("KILL"),
    "nothing dropped": lambda p, c: c["securityContext"]["capabilities"].pop("drop"),
    "privileged": lambda p, c: c["securityContext"].update(privileged=True),
    "no new privileges": lambda p, c: c["securityContext"].update(allowPrivilegeEscalation=False),
    "read-only root": lambda p, c: c["securityContext"].update(readOnlyRootFilesystem=True),
    "seccomp": lambda p, c: c["securityContext"].update(seccompProfile={"type": "RuntimeDefault"}),
    "seccomp file": lambda p, c: c["securityContext"].update(
        seccompProfile={"type": "Localhost", "localhostProfile": "a.json"}
    ),
    "seccomp of another file": lambda p, c: c["securityContext"].update(
        seccompProfile={"type": "Localhost", "localhostProfile": "b.json"}
    ),
    "groups": lambda p, c: p["spec"].update(securityContext={"supplementalGroups": [1, 2]}),
    "other groups": lambda p, c: p["spec"].update(securityContext={"supplementalGroups": [1]}),
    "group of files": lambda p, c: p["spec"].update(securityContext={"fsGroup": 1}),
    "host network": lambda p, c: p["spec"].update(hostNetwork=True),
    "host IPC": lambda p, c: p["spec"].update(hostIPC=True),
}


def test_whatever_matters_gives_an_identity_of_its_own() -> None:
    ids = {what: of(changed(change)) for what, change in MATTERS.items()}
    alike = [(one, other) for one, other in combinations(ids, 2) if ids[one] == ids[other]]
    assert alike == []


def test_allowing_escalation_is_what_is_meant_when_nothing_is_written() -> None:
    allowed = changed(lambda p, c: c["securityContext"].update(allowPrivilegeEscalation=True))
    assert of(allowed) == of(changed(lambda p, c: None))


def test_the_order_of_groups_does_not_matter() -> None:
    groups = [changed(lambda p, c, g=g: p["spec"].update(securityContext={"supplementalGroups": g}))
              for g in ([1, 2], [2, 1])]  # fmt: skip
    assert of(groups[0]) == of(groups[1])


@few
@given(st.text(), st.text())
def test_an_ignored_variable_may_have_any_value_or_be_away(one: str, other: str) -> None:
    ids = {
        of(changed(lambda p, c, v=v: c["env"].insert(1, {"name": "POD", "value": v})), "POD")
        for v in (one, other)
    }
    assert ids == {of(changed(lambda p, c: None), "POD", "ABSENT")}
    assert of(changed(lambda p, c: c["env"][0].update(value="2")), "POD") not in ids


def test_words_do_not_run_into_each_other() -> None:
    ids = [
        of(changed(lambda p, c, words=words: c.update(command=words[0], args=words[1])))
        for words in (
            (["a"], ["b", "c"]),
            (["a", "b"], ["c"]),
            (["a", "b c"], None),
            (["a"], ["b c"]),
        )
    ]
    assert len(set(ids)) == len(ids)


@few
@given(st.recursive(st.none() | st.booleans() | st.text(max_size=3), st.lists, max_leaves=6))
def test_members_of_any_type_raise_nothing_where_only_values_are_read(value: Any) -> None:
    for member in ("command", "args", "workingDir"):
        assert len(of(changed(lambda p, c, m=member: c.update({m: value})))) == 16
