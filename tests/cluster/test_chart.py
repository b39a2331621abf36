"""The chart on a real API server, by real helm: what it makes, leaves alone and takes away."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from .client import RESTRICTED, Cluster
from .conftest import remove_namespace
from .releases import SIZE, Releases

CA = "c29tZXRoaW5n"
KEPT = {"persistentvolumeclaim/chrek-checkpoints", "secret/chrek-signing"}


@pytest.fixture
def releases(cluster: Cluster) -> Iterator[Releases]:
    made = Releases(cluster, [])
    yield made
    for namespace in made.namespaces:
        for name in cluster.helm("list", "--namespace", namespace, "--short").out.split():
            cluster.helm("uninstall", "--namespace", namespace, name)
    for namespace in made.namespaces:
        remove_namespace(cluster, namespace)


def test_one_line_installs_and_an_uninstall_leaves_claim_keys_and_definition(
    cluster: Cluster, releases: Releases
) -> None:
    namespace = releases.namespace()
    said = releases.install(namespace, SIZE)
    assert f"kubectl label namespace {namespace} chrek=enabled" in said
    assert {
        "deployment/chrek-webhook", "daemonset/chrek-agent", "service/chrek-webhook",
        "persistentvolumeclaim/chrek-checkpoints", "secret/chrek-webhook-tls",
        "secret/chrek-signing", "poddisruptionbudget/chrek-webhook", "networkpolicy/chrek-webhook",
    } <= releases.objects(namespace)  # fmt: skip
    assert len(releases.cluster_objects(namespace)) == 6

    releases.uninstall(namespace)
    cluster.wait(
        "nothing left but the claim and its keys",
        lambda: releases.objects(namespace) == KEPT,
        seconds=180,
        now=lambda: releases.objects(namespace),
    )
    assert releases.cluster_objects(namespace) == set()
    cluster.kubectl("get", "crd", "checkpoints.chrek.io")


def test_a_claim_that_stayed_is_taken_up_by_the_same_release_and_by_no_other(
    releases: Releases,
) -> None:
    namespace = releases.namespace()
    releases.install(namespace, SIZE)
    releases.uninstall(namespace)
    refused = releases.install(namespace, SIZE, release="other", code=1)
    assert "chrek-checkpoints" in refused
    releases.install(namespace, SIZE)
    releases.uninstall(namespace)
    releases.install(
        namespace, "--set=storage.pvc.existingClaim=chrek-checkpoints", release="another"
    )


def test_keys_of_checkpoints_outlive_upgrade_rollback_and_release(
    cluster: Cluster, releases: Releases
) -> None:
    namespace = releases.namespace()
    filled = {"signing.pem": CA}

    def keys() -> object:
        return cluster.get(namespace, "secret", "chrek-signing").get("data")

    first = releases.install(namespace, SIZE)
    assert "keys that the first agent puts into Secret chrek-signing" in first
    assert keys() is None
    fill = ["-n", namespace, "patch", "secret", "chrek-signing", "--type=merge"]
    cluster.kubectl(*fill, "-p", json.dumps({"data": filled}))
    releases.upgrade(namespace, "--set=storage.keep=3")
    assert keys() == filled
    cluster.helm("rollback", "--namespace", namespace, "chrek", "1")
    assert keys() == filled
    releases.uninstall(namespace)
    again = releases.install(namespace, SIZE)
    assert "which were there before" in again
    assert keys() == filled


def test_without_keep_the_claim_goes_too(cluster: Cluster, releases: Releases) -> None:
    namespace = releases.namespace()
    releases.install(namespace, SIZE, "--set=storage.pvc.keep=false")
    releases.uninstall(namespace)
    cluster.wait(
        "nothing left",
        lambda: not releases.objects(namespace),
        seconds=180,
        now=lambda: releases.objects(namespace),
    )


def test_two_releases_stand_side_by_side(cluster: Cluster, releases: Releases) -> None:
    first, second = releases.namespace(), releases.namespace()
    releases.install(first, SIZE)
    releases.install(second, SIZE)
    before = releases.objects(second)
    releases.uninstall(first)
    assert len(releases.cluster_objects(second)) == 6
    assert {each for each in before if "pod/" not in each} <= releases.objects(second)
    assert releases.configuration(second)["clientConfig"]["service"]["namespace"] == second
    cluster.kubectl("get", "crd", "checkpoints.chrek.io")


def test_an_upgrade_and_a_rollback_leave_ca_bundle_and_keys_alone(
    cluster: Cluster, releases: Releases
) -> None:
    namespace = releases.namespace()
    releases.install(namespace, SIZE)
    webhook = {"name": "pods.chrek.io", "clientConfig": {"caBundle": CA}}
    trust = ["patch", "mutatingwebhookconfiguration", f"chrek.{namespace}", "--type=strategic"]
    cluster.kubectl(*trust, "-p", json.dumps({"webhooks": [webhook]}))
    keys = {"data": {"tls.crt": CA, "tls.key": CA, "ca.crt": CA, "ca.key": CA}}
    fill = ["-n", namespace, "patch", "secret", "chrek-webhook-tls", "--type=merge"]
    cluster.kubectl(*fill, "-p", json.dumps(keys))

    def check() -> None:
        assert releases.configuration(namespace)["clientConfig"]["caBundle"] == CA
        secret = cluster.get(namespace, "secret", "chrek-webhook-tls")
        assert secret["data"] == keys["data"]

    releases.upgrade(namespace, "--set=webhook.replicas=3", "--set=rbac.aggregateToView=false")
    assert cluster.get(namespace, "deployment", "chrek-webhook")["spec"]["replicas"] == 3
    check()
    cluster.helm("rollback", "--namespace", namespace, "chrek", "1")
    assert cluster.get(namespace, "deployment", "chrek-webhook")["spec"]["replicas"] == 2
    check()


def test_a_release_at_work_keeps_its_ca_over_an_upgrade_and_takes_its_keys_along_at_the_end(
    cluster: Cluster, releases: Releases
) -> None:
    running = replace(releases, running=True)
    namespace = running.namespace()
    cluster.volume(namespace, "chrek-checkpoints")  # helm waits for claims too
    running.install(namespace, SIZE, "--set=storage.pvc.storageClass=chrek-test")

    def trusted() -> str:
        return str(running.configuration(namespace)["clientConfig"].get("caBundle", ""))

    before = cluster.wait("a caBundle", trusted)
    running.upgrade(namespace, "--set=webhook.podAnnotations.restarted=yes")
    assert trusted() == before
    assert cluster.get(namespace, "secret", "chrek-webhook-tls")["data"].keys() == {
        "tls.crt", "tls.key", "ca.crt", "ca.key",
    }  # fmt: skip
    running.uninstall(namespace)
    cluster.wait(
        "nothing left but the claim and its keys, once the last replica has ended",
        lambda: running.objects(namespace) == KEPT,
        seconds=120,
        now=lambda: running.objects(namespace),
    )


def test_another_namespace_is_watched_and_gets_claim_and_roles_only(
    cluster: Cluster, releases: Releases
) -> None:
    system, team = releases.namespace("system"), releases.namespace("team", made=True)
    releases.install(system, SIZE, f"--set=watchNamespace={team}")
    assert releases.objects(team) == {
        "persistentvolumeclaim/chrek-checkpoints",
        *(
            f"{kind}/{name}"
            for kind in ("role", "rolebinding")
            for name in ("chrek-webhook", "chrek-agent", "chrek-agent-cleaning")
        ),
    }
    selector = releases.configuration(system)["namespaceSelector"]
    assert selector["matchLabels"] == {"chrek": "enabled"}
    if cluster.version >= (1, 21):
        assert selector["matchExpressions"][0]["values"] == [team]
    releases.uninstall(system)
    assert releases.objects(team) == {"persistentvolumeclaim/chrek-checkpoints"}


def test_the_webhook_may_do_what_it_does_and_no_more(cluster: Cluster, releases: Releases) -> None:
    system, team = releases.namespace("system"), releases.namespace("team", made=True)
    releases.install(system, SIZE, f"--set=watchNamespace={team}")
    account = f"--as=system:serviceaccount:{system}:chrek-webhook"

    def may(*words: str) -> bool:
        done = cluster.kubectl(*words, account, code=None)
        assert done.code == 0 or "forbidden" in done.err, done.err
        return done.code == 0

    assert may("get", "namespaces", f"--field-selector=metadata.name={team}")
    assert not may("get", "namespaces")
    assert may("get", "storageclasses")
    name = f"chrek.{system}"
    configurations = ["get", "mutatingwebhookconfigurations"]
    assert may(*configurations, f"--field-selector=metadata.name={name}")
    assert not may(*configurations)
    for what in ("persistentvolumeclaims", "checkpoints"):
        assert may("-n", team, "get", what)
        assert not may("-n", system, "get", what)
    secret = "--field-selector=metadata.name=chrek-webhook-tls"
    assert may("-n", system, "get", "secrets", secret)
    assert not may("-n", system, "get", "secrets")
    assert not may("-n", team, "get", "secrets")
    assert not may("-n", team, "get", "pods")


def test_the_agent_may_do_what_it_does_and_no_more(cluster: Cluster, releases: Releases) -> None:
    system, team = releases.namespace("system"), releases.namespace("team", made=True)
    releases.install(system, SIZE, f"--set=watchNamespace={team}")

    def may(verb: str, what: str, namespace: str = team) -> bool:
        account = f"--as=system:serviceaccount:{system}:chrek-agent"
        asked = ["-n", namespace, "auth", "can-i", verb, *what.split(), account]
        return cluster.kubectl(*asked, code=None).out.strip() == "yes"

    for right in (
        "watch pods", "patch pods --subresource=status", "create pods", "delete pods",
        "create events", "create checkpoints", "update checkpoints --subresource=status",
        "update checkpoints --subresource=finalizers", "watch persistentvolumeclaims",
    ):  # fmt: skip
        verb, _, what = right.partition(" ")
        assert may(verb, what), right
        assert not may(verb, what, system), right
    for verb, what in (("patch", "pods"), ("create", "pods --subresource=exec"), ("get", "secrets"),
                       ("delete", "persistentvolumeclaims"), ("patch", "nodes")):  # fmt: skip
        assert not may(verb, what), what
    assert may("update", "secret/chrek-signing", system)
    assert not may("get", "secret/chrek-webhook-tls", system)
    assert not may("create", "secrets", system)
    assert not may("get", f"namespaces/{system}", system)


def test_the_webhooks_pod_is_one_that_a_restricted_user_could_make(
    cluster: Cluster, releases: Releases
) -> None:
    if not cluster.own:
        pytest.skip("the restricted user is this cluster's own")
    namespace = releases.namespace()
    releases.install(namespace, SIZE)
    template = cluster.get(namespace, "deployment", "chrek-webhook")["spec"]["template"]
    template["metadata"] = {"name": "as-restricted"}
    # The service account's own rights would do as well: the user's are what is asked for here.
    template["spec"] |= {"serviceAccountName": "default", "automountServiceAccountToken": False}
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    cluster.kubectl("-n", namespace, "create", "-f", "-", RESTRICTED, input=pod)
