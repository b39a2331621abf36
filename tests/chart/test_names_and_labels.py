"""Releases side by side share nothing, and what belongs together finds each other by labels."""

import pytest

from .rendering import SIZE, Object, Values, merged, one, pods, refusal, render
from .value_sets import VALUE_SETS

SETS = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
CLUSTER_KINDS = {
    "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration",
}  # fmt: skip


CLUSTER_WIDE: Values = {"rbac": {"namespaced": False}}
CERT_MANAGER: Values = merged(SIZE, {"certificates": {"provider": "cert-manager"}})


def identities(objects: list[Object]) -> set[tuple[str, str, str]]:
    found = [
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"])
        for each in objects
    ]
    assert len(found) == len(set(found)), "the same object twice"
    return set(found)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"namespace": "team-a"}, {"namespace": "team-b"}),
        ({"release": "chrek-a", "namespace": "b"}, {"release": "chrek", "namespace": "a-b"}),
        ({"release": "chrek", "namespace": "a"}, {"release": "a", "namespace": "chrek"}),
        (
            {"release": "team-a", "namespace": "chrek-system", "watch": "team-a"},
            {"release": "team-b", "namespace": "chrek-system", "watch": "team-b"},
        ),
        (
            {"namespace": "system-a", "watch": "team-a"},
            {"namespace": "system-b", "watch": "team-b"},
        ),
    ],
)
@pytest.mark.parametrize("values", [SIZE, CLUSTER_WIDE, CERT_MANAGER])
def test_two_releases_have_no_object_in_common(
    first: dict[str, str], second: dict[str, str], values: Values
) -> None:
    def objects(of: dict[str, str]) -> set[tuple[str, str, str]]:
        where = {key: value for key, value in of.items() if key != "watch"}
        watch: Values = {"watchNamespace": of["watch"]} if "watch" in of else {}
        return identities(render(values, {} if values is CLUSTER_WIDE else watch, **where))

    assert objects(first) & objects(second) == set()


@SETS
def test_every_object_says_whose_it_is(values: Values) -> None:
    for each in render(values):
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "chrek"
        assert labels["app.kubernetes.io/instance"] == "chrek"
        assert labels["app.kubernetes.io/version"] == "0.1.0"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/part-of"] == "chrek"
        assert labels["helm.sh/chart"] == "chrek-0.1.0"


@SETS
def test_what_is_namespaced_says_where_it_is(values: Values) -> None:
    for each in render(values):
        assert ("namespace" in each["metadata"]) == (each["kind"] not in CLUSTER_KINDS), each


@SETS
def test_every_selector_finds_its_own_pods_and_no_others(values: Values) -> None:
    objects = render(values)
    templates = dict(pods(objects))
    found = 0
    for each in objects:
        selector = _selector(each)
        if selector is None:
            continue
        found += 1
        matched = {
            component
            for component, template in templates.items()
            if selector.items() <= template["metadata"]["labels"].items()
        }
        assert matched == {each["metadata"]["labels"]["app.kubernetes.io/component"]}
    assert found >= 4  # Deployment, DaemonSet, Service, PodDisruptionBudget


def _selector(each: Object) -> dict[str, str] | None:
    spec = each.get("spec", {})
    if each["kind"] == "Service":
        return dict(spec["selector"])
    if each["kind"] == "NetworkPolicy":
        return dict(spec["podSelector"]["matchLabels"])
    if "selector" in spec:
        return dict(spec["selector"]["matchLabels"])
    return None


def test_a_selector_holds_nothing_that_an_upgrade_changes() -> None:
    for each in render(SIZE):
        selector = _selector(each) or {}
        assert "app.kubernetes.io/version" not in selector
        assert "helm.sh/chart" not in selector


def test_pods_find_the_service_and_the_service_their_ports() -> None:
    objects = render(SIZE)
    service = one(objects, "Service", "chrek-webhook")
    (container,) = one(objects, "Deployment", "chrek-webhook")["spec"]["template"]["spec"][
        "containers"
    ]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["port"]: ports[port["targetPort"]] for port in service["spec"]["ports"]} == {
        443: 8443, 8080: 8080,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("release", "override", "name"),
    [
        ("chrek", "", "chrek-webhook"),
        ("my-chrek", "", "my-chrek-webhook"),
        ("models", "", "models-chrek-webhook"),
        ("models", "warm", "warm-webhook"),
        ("1st", "first", "first-webhook"),
    ],
)
def test_names_follow_the_release_or_what_is_said_instead(
    release: str, override: str, name: str
) -> None:
    objects = render(SIZE, {"fullnameOverride": override}, release=release)
    assert one(objects, "Service", "-webhook")["metadata"]["name"] == name
    assert one(objects, "Deployment", "-webhook")["metadata"]["name"] == name


def test_the_longest_names_that_are_taken_fit() -> None:
    objects = render(SIZE, release="r" * 49, namespace="n" * 63)
    assert len(one(objects, "Service", "-webhook")["metadata"]["name"]) == 63
    for each in objects:
        assert len(each["metadata"]["name"]) <= 253
        assert all(len(str(value)) <= 63 for value in each["metadata"]["labels"].values())


@pytest.mark.parametrize("release", ["1st", "with.dot", "r" * 50])
def test_a_release_name_that_no_service_can_have_is_refused(release: str) -> None:
    said = refusal(SIZE, release=release)
    assert "release name, or set fullnameOverride" in said


def test_names_that_yaml_would_take_for_numbers_stay_names() -> None:
    objects = render(SIZE, namespace="123", kubernetes="1.30.0")
    for each in objects:
        assert each["metadata"].get("namespace", "123") == "123"
        for subject in each.get("subjects", []):
            assert subject["namespace"] == "123"
    configuration = one(objects, "MutatingWebhookConfiguration", "chrek.123")
    assert configuration["webhooks"][0]["clientConfig"]["service"]["namespace"] == "123"
