"""The claim that checkpoints go to, and the Secret that keys are in."""

import pytest

from .rendering import SIZE, Object, Values, merged, one, render

CLUSTER_WIDE: Values = {"rbac": {"namespaced": False}}


def claims(*values: Values) -> list[Object]:
    return [each for each in render(*values) if each["kind"] == "PersistentVolumeClaim"]


def test_one_line_makes_a_claim_for_many_nodes_that_outlives_the_release() -> None:
    (claim,) = claims(SIZE)
    assert claim["metadata"]["name"] == "chrek-checkpoints"
    assert claim["metadata"]["namespace"] == "my-team"
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "100Gi"}},
    }


def test_the_claim_is_where_the_pods_are() -> None:
    (claim,) = claims(SIZE, {"watchNamespace": "team-a"})
    assert claim["metadata"]["namespace"] == "team-a"


def test_a_claim_that_is_there_is_not_made_again() -> None:
    assert claims({"storage": {"pvc": {"existingClaim": "models"}}}) == []


def test_a_claim_may_go_with_the_release() -> None:
    (claim,) = claims(SIZE, {"storage": {"pvc": {"keep": False}}})
    assert "annotations" not in claim["metadata"]


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, None), ("", ""), ("nfs", "nfs"), ("1", "1")],
    ids=["the cluster's default", "none", "one by name", "one that looks like a number"],
)
def test_the_storage_class_is_what_was_said(value: str | None, written: str | None) -> None:
    (claim,) = claims(SIZE, {"storage": {"pvc": {"storageClass": value, "name": "7"}}})
    assert claim["spec"].get("storageClassName") == written
    assert claim["metadata"]["name"] == "7"


def test_for_all_namespaces_claims_are_made_where_they_are_asked_for() -> None:
    assert claims(CLUSTER_WIDE) == []
    made = claims(SIZE, CLUSTER_WIDE, {"storage": {"pvc": {"namespaces": ["team-a", "123"]}}})
    assert [each["metadata"]["namespace"] for each in made] == ["team-a", "123"]


@pytest.mark.parametrize("size", ["100Gi", "1.5Ti", "0.5Gi", "500G", "1024Mi"])
def test_sizes_that_people_write_are_taken(size: str) -> None:
    (claim,) = claims({"storage": {"pvc": {"size": size}}})
    assert claim["spec"]["resources"]["requests"]["storage"] == size


def test_the_secret_is_there_for_the_uninstall_and_empty_for_the_upgrade() -> None:
    secret = one(render(SIZE), "Secret", "chrek-webhook-tls")
    assert secret["type"] == "Opaque"
    assert not {"data", "stringData", "immutable"} & secret.keys()


def test_the_keys_of_checkpoints_are_empty_for_the_upgrade_and_outlive_the_release() -> None:
    secret = one(render(SIZE), "Secret", "chrek-signing")
    assert secret["metadata"]["namespace"] == "my-team"
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert secret["type"] == "Opaque"
    assert not {"data", "stringData", "immutable"} & secret.keys()


def test_the_keys_are_where_the_team_cannot_read_them() -> None:
    objects = render(SIZE, {"watchNamespace": "team-a"}, namespace="chrek-system")
    assert one(objects, "Secret", "chrek-signing")["metadata"]["namespace"] == "chrek-system"


@pytest.mark.parametrize(
    ("values", "stay"),
    [
        ({"storage": {"pvc": {"size": "1Gi", "keep": True}}}, True),
        ({"storage": {"pvc": {"size": "1Gi", "keep": False}}}, False),
        ({"storage": {"pvc": {"existingClaim": "models", "keep": False}}}, True),
        ({"rbac": {"namespaced": False}, "storage": {"pvc": {"keep": False}}}, True),
    ],
    ids=["claim stays", "claim goes", "the claim is not the chart's", "others have claims"],
)
def test_the_keys_stay_as_long_as_a_claim_may(values: Values, stay: bool) -> None:
    metadata = one(render(values), "Secret", "chrek-signing")["metadata"]
    assert ("annotations" in metadata) is stay


def test_keys_that_are_there_are_not_made_again() -> None:
    names = {
        each["metadata"]["name"]
        for each in render(SIZE, {"signing": {"secretName": "company"}})
        if each["kind"] == "Secret"
    }
    assert names == {"chrek-webhook-tls"}


def cert_manager(*values: Values) -> dict[tuple[str, str], Object]:
    objects = render(SIZE, {"certificates": {"provider": "cert-manager"}}, *values)
    secrets = {each["metadata"]["name"] for each in objects if each["kind"] == "Secret"}
    assert secrets == {"chrek-signing"}
    (configuration,) = (each for each in objects if each["kind"] == "MutatingWebhookConfiguration")
    assert configuration["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": "my-team/chrek-webhook-tls"
    }
    return {
        (each["kind"], each["metadata"]["name"]): each["spec"]
        for each in objects
        if each["apiVersion"] == "cert-manager.io/v1"
    }


def test_cert_manager_makes_a_ca_and_a_certificate_of_it() -> None:
    made = cert_manager()
    assert made.keys() == {
        ("Issuer", "chrek-webhook-selfsigned"),
        ("Certificate", "chrek-webhook-ca"),
        ("Issuer", "chrek-webhook-ca"),
        ("Certificate", "chrek-webhook-tls"),
    }
    assert made["Issuer", "chrek-webhook-selfsigned"] == {"selfSigned": {}}
    authority = made["Certificate", "chrek-webhook-ca"]
    assert authority["isCA"] is True
    assert authority["issuerRef"]["name"] == "chrek-webhook-selfsigned"
    assert authority["duration"] == "157680000s"
    assert made["Issuer", "chrek-webhook-ca"]["ca"]["secretName"] == authority["secretName"]
    serving = made["Certificate", "chrek-webhook-tls"]
    assert serving["secretName"] == "chrek-webhook-tls"
    assert serving["issuerRef"] == {
        "name": "chrek-webhook-ca", "kind": "Issuer", "group": "cert-manager.io",
    }  # fmt: skip
    assert serving["dnsNames"] == [
        "chrek-webhook",
        "chrek-webhook.my-team",
        "chrek-webhook.my-team.svc",
        "chrek-webhook.my-team.svc.cluster.local",
    ]
    assert (serving["duration"], serving["renewBefore"]) == ("7776000s", "2592000s")


def test_an_issuer_that_is_there_signs_instead() -> None:
    issuer = {"name": "company", "kind": "ClusterIssuer"}
    made = cert_manager({"certificates": {"issuerRef": issuer}})
    assert made.keys() == {("Certificate", "chrek-webhook-tls")}
    assert made["Certificate", "chrek-webhook-tls"]["issuerRef"] == {
        **issuer, "group": "cert-manager.io",
    }  # fmt: skip


def test_nothing_of_cert_manager_is_named_unless_it_was_asked_for() -> None:
    for each in render(merged(SIZE)):
        assert "cert-manager" not in each["apiVersion"]
        assert "cert-manager" not in str(each["metadata"])
