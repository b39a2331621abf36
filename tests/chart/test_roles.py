"""Who may do what: each right is named here, so that none comes along unseen."""

from typing import Any

import pytest

from .rendering import SIZE, Object, Values, merged, render
from .value_sets import VALUE_SETS

READ = ("get", "list", "watch")
WRITE = (*READ, "update", "patch")
CLUSTER_WIDE: Values = {"rbac": {"namespaced": False}}
LOOKUP: Values = {"webhook": {"registryLookup": True}}
CERT_MANAGER: Values = {"certificates": {"provider": "cert-manager"}}

Right = tuple[str, str, str, tuple[str, ...]]
"""Namespace ("" for the cluster), resource, its name ("" for any), verbs."""

CHECKPOINTS = "chrek.io/checkpoints"
CONFIGURATIONS = "admissionregistration.k8s.io/mutatingwebhookconfigurations"
CLASSES = "storage.k8s.io/storageclasses"


def rights(objects: list[Object], account: str) -> set[Right]:
    """What the service account may do, through every binding."""
    roles = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in objects
        if each["kind"] in {"Role", "ClusterRole"}
    }
    found: set[Right] = set()
    for binding in objects:
        if binding["kind"] not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        if account in {subject["name"] for subject in binding["subjects"]}:
            namespace = binding["metadata"].get("namespace", "")
            role = roles[binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"]]
            found |= {right for rule in role["rules"] for right in _each(rule, namespace)}
    return found


def _each(rule: dict[str, Any], namespace: str) -> set[Right]:
    assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
    return {
        (namespace, f"{group}/{resource}".removeprefix("/"), name, tuple(rule["verbs"]))
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def test_the_webhook_of_one_line_sees_its_namespace_and_little_else() -> None:
    assert rights(render(SIZE), "chrek-webhook") == {
        ("my-team", CHECKPOINTS, "", READ),
        ("my-team", "persistentvolumeclaims", "", READ),
        ("my-team", "secrets", "chrek-webhook-tls", ("get", "list", "watch", "update", "patch")),
        ("my-team", "secrets", "", ("create",)),
        ("", CONFIGURATIONS, "chrek.my-team", WRITE),
        ("", CLASSES, "", READ),
        ("", "namespaces", "my-team", READ),
    }


def test_with_another_watched_namespace_it_reads_there_and_keeps_its_secret_here() -> None:
    objects = render(SIZE, {"watchNamespace": "team-a"}, namespace="chrek-system")
    assert rights(objects, "chrek-webhook") == {
        ("team-a", CHECKPOINTS, "", READ),
        ("team-a", "persistentvolumeclaims", "", READ),
        ("chrek-system", "secrets", "chrek-webhook-tls", WRITE),
        ("chrek-system", "secrets", "", ("create",)),
        ("", CONFIGURATIONS, "chrek.chrek-system", WRITE),
        ("", CLASSES, "", READ),
        ("", "namespaces", "team-a", READ),
    }


def test_for_all_namespaces_it_reads_everywhere_and_writes_nowhere_else() -> None:
    assert rights(render(CLUSTER_WIDE), "chrek-webhook") == {
        ("", CHECKPOINTS, "", READ),
        ("", "persistentvolumeclaims", "", READ),
        ("my-team", "secrets", "chrek-webhook-tls", WRITE),
        ("my-team", "secrets", "", ("create",)),
        ("", CONFIGURATIONS, "chrek.my-team", WRITE),
        ("", CLASSES, "", READ),
        ("", "namespaces", "", READ),
    }


@pytest.mark.parametrize(
    ("values", "where"),
    [
        (SIZE, "my-team"),
        (merged(SIZE, {"watchNamespace": "team-a"}), "team-a"),
        (CLUSTER_WIDE, ""),
    ],
    ids=["one line", "another namespace", "all labelled namespaces"],
)
def test_registry_lookups_add_pull_secrets_of_the_watched_namespaces(
    values: Values, where: str
) -> None:
    before = rights(render(values), "chrek-webhook")
    after = rights(render(values, LOOKUP), "chrek-webhook")
    assert after - before == {
        (where, "secrets", "", ("get",)),
        (where, "serviceaccounts", "", ("get",)),
    }
    assert before <= after


def test_with_cert_manager_the_webhook_writes_nothing_at_all() -> None:
    found = rights(render(SIZE, CERT_MANAGER), "chrek-webhook")
    assert {verb for *_, verbs in found for verb in verbs} == set(READ)
    assert ("my-team", "secrets", "chrek-webhook-tls", READ) in found


def of_agent(where: str) -> set[Right]:
    """What it may do with pods and Checkpoints of `where`."""
    return {
        (where, "pods", "", READ),
        (where, "persistentvolumeclaims", "", READ),
        (where, "pods/status", "", ("patch",)),
        (where, "events", "", ("create", "patch")),
        (where, CHECKPOINTS, "", (*READ, "create", "update", "patch", "delete")),
        (where, f"{CHECKPOINTS}/status", "", ("get", "update", "patch")),
        (where, f"{CHECKPOINTS}/finalizers", "", ("update",)),
        (where, "pods", "", ("create", "delete")),
    }


def test_the_agent_of_one_line_works_in_its_namespace_with_one_secret() -> None:
    assert rights(render(SIZE), "chrek-agent") == of_agent("my-team") | {
        ("my-team", "secrets", "chrek-signing", (*READ, "update")),
        ("", "namespaces", "my-team", READ),
        ("", CHECKPOINTS, "", ("get", "patch")),
        ("", "nodes", "", ("get",)),
    }


def test_with_another_watched_namespace_its_keys_are_out_of_the_teams_reach() -> None:
    objects = render(SIZE, {"watchNamespace": "team-a"}, namespace="chrek-system")
    assert rights(objects, "chrek-agent") == of_agent("team-a") | {
        ("chrek-system", "secrets", "chrek-signing", (*READ, "update")),
        ("", "namespaces", "team-a", READ),
        ("", CHECKPOINTS, "", ("get", "patch")),
        ("", "nodes", "", ("get",)),
    }


def test_for_all_namespaces_the_agent_works_in_each_but_has_one_secret_still() -> None:
    assert rights(render(CLUSTER_WIDE), "chrek-agent") == of_agent("") | {
        ("my-team", "secrets", "chrek-signing", (*READ, "update")),
        ("", "namespaces", "", READ),
        ("", "nodes", "", ("get",)),
    }


def test_a_secret_of_the_users_own_is_the_only_one_that_the_agent_reads() -> None:
    found = rights(render(SIZE, {"signing": {"secretName": "company.keys"}}), "chrek-agent")
    assert {name for _, resource, name, _ in found if resource == "secrets"} == {"company.keys"}


def test_creating_pods_is_a_role_that_an_administrator_can_see_and_take_away() -> None:
    for values in (SIZE, CLUSTER_WIDE):
        (role,) = (
            each
            for each in render(values)
            for rule in each.get("rules", [])
            if "pods" in rule["resources"] and "create" in rule["verbs"]
        )
        assert role["rules"] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete"]}
        ]
        assert role["metadata"]["name"].startswith("chrek-agent-cleaning")


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_nobody_but_chrek_is_bound_and_no_rule_has_a_star(values: Values) -> None:
    for each in render(values):
        for subject in each.get("subjects", []):
            assert subject["kind"] == "ServiceAccount"
            assert subject["name"] in {"chrek-webhook", "chrek-agent"}
            assert subject["namespace"] == "my-team"
        for rule in each.get("rules", []):
            assert "*" not in [*rule.get("verbs", []), *rule.get("resources", [])]


def test_whoever_may_view_a_namespace_sees_its_checkpoints() -> None:
    (role,) = (
        each
        for each in render(SIZE)
        if "rbac.authorization.k8s.io/aggregate-to-view" in each["metadata"]["labels"]
    )
    assert role["kind"] == "ClusterRole"
    assert _each(role["rules"][0], "") == {("", CHECKPOINTS, "", READ)}
    assert len(role["rules"]) == 1
    off = render(SIZE, {"rbac": {"aggregateToView": False}})
    assert "chrek-view.my-team" not in {each["metadata"]["name"] for each in off}


def test_tokens_are_mounted_where_they_are_used_and_nowhere_else() -> None:
    objects = render(SIZE)
    for account in (each for each in objects if each["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    mounted = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["automountServiceAccountToken"]
        for each in objects
        if "template" in each.get("spec", {})
    }
    assert mounted == {"chrek-webhook": True, "chrek-agent": True}
