"""Which pods the API server asks about, where, and what happens when nobody answers."""

import pytest

from .rendering import SIZE, Object, Values, merged, one, render
from .value_sets import VALUE_SETS

SETS = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())


def webhook(*values: Values, **where: str) -> Object:
    configuration = one(render(*values, **where), "MutatingWebhookConfiguration", "")
    (found,) = configuration["webhooks"]
    return dict(found)


@SETS
def test_no_pod_ever_waits_long_or_fails_because_of_it(values: Values) -> None:
    found = webhook(values)
    assert found["name"] == "pods.chrek.io"
    assert found["failurePolicy"] == "Ignore"
    assert found["timeoutSeconds"] == 5
    assert found["sideEffects"] == "None"
    assert found["reinvocationPolicy"] == "IfNeeded"
    assert found["admissionReviewVersions"] == ["v1"]


@SETS
def test_only_new_pods_are_asked_about(values: Values) -> None:
    assert webhook(values)["rules"] == [
        {
            "operations": ["CREATE"],
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }
    ]


@SETS
def test_chreks_own_pods_are_never_asked_about(values: Values) -> None:
    assert webhook(values)["objectSelector"] == {
        "matchExpressions": [{"key": "chrek.io/component", "operator": "DoesNotExist"}]
    }


@SETS
def test_the_service_that_is_called_is_the_one_that_is_there(values: Values) -> None:
    objects = render(values)
    service = one(objects, "Service", "-webhook")
    called = webhook(values)["clientConfig"]["service"]
    assert called == {
        "name": service["metadata"]["name"],
        "namespace": service["metadata"]["namespace"],
        "path": "/mutate",
        "port": 443,
    }


@SETS
def test_an_upgrade_finds_no_ca_bundle_to_put_in_the_place_of_the_right_one(values: Values) -> None:
    assert "caBundle" not in webhook(values)["clientConfig"]


@pytest.mark.parametrize(
    ("values", "watched"),
    [(SIZE, "my-team"), (merged(SIZE, {"watchNamespace": "team-a"}), "team-a")],
    ids=["one line", "another namespace"],
)
def test_one_namespace_is_picked_by_its_name_where_clusters_label_it(
    values: Values, watched: str
) -> None:
    labelled = {"matchLabels": {"chrek": "enabled"}}
    by_name = {
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [watched]}
        ]
    }
    for kubernetes in ("1.21.0", "1.21.0-alpha.1", "1.37.0"):
        found = webhook(values, kubernetes=kubernetes)["namespaceSelector"]
        assert found == labelled | by_name
    assert webhook(values, kubernetes="1.20.2")["namespaceSelector"] == labelled


@pytest.mark.parametrize("kubernetes", ["1.20.2", "1.37.0"])
def test_for_all_namespaces_the_label_alone_decides(kubernetes: str) -> None:
    found = webhook({"rbac": {"namespaced": False}}, kubernetes=kubernetes)
    assert found["namespaceSelector"] == {"matchLabels": {"chrek": "enabled"}}


def test_anyone_may_call_the_webhook_and_only_pods_read_its_metrics() -> None:
    policy = one(render(SIZE), "NetworkPolicy", "chrek-webhook")
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["ingress"] == [
        {"ports": [{"protocol": "TCP", "port": 8443}]},
        {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 8080}]},
    ]
    off = render(SIZE, {"networkPolicy": {"enabled": False}})
    assert "NetworkPolicy" not in {each["kind"] for each in off}
