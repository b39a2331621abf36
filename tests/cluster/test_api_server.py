"""The cluster's API server: who may do what, and what it stores."""

import pytest
from kubernetes_asyncio import client

from .client import RESTRICTED, Cluster
from .plain_pods import once, output_of, pod


def test_a_service_account_reaches_the_api_from_its_pod_and_may_do_what_its_role_says(
    cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl("-n", namespace, "create", "serviceaccount", "reader")
    role = ["create", "role", "reader", "--verb=get,list", "--resource=pods"]
    cluster.kubectl("-n", namespace, *role)
    account = f"--serviceaccount={namespace}:reader"
    cluster.kubectl("-n", namespace, "create", "rolebinding", "reader", "--role=reader", account)
    asker = once("asker", ASK_API)
    asker["spec"]["serviceAccountName"] = "reader"  # type: ignore[index]
    cluster.create(namespace, asker)
    assert output_of(cluster, namespace, "asker") == "pods 200\nsecrets 403\n"


ASK_API = """
import os, ssl, urllib.error, urllib.request
given = "/var/run/secrets/kubernetes.io/serviceaccount/"
token, namespace = open(given + "token").read(), open(given + "namespace").read()
server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
context = ssl.create_default_context(cafile=given + "ca.crt")
for what in ("pods", "secrets"):
    request = urllib.request.Request(f"{server}/api/v1/namespaces/{namespace}/{what}")
    request.add_header("Authorization", "Bearer " + token)
    try:
        print(what, urllib.request.urlopen(request, context=context, timeout=9).status)
    except urllib.error.HTTPError as error:
        print(what, error.code)
"""


def test_a_custom_resource_with_maps_and_empty_words_is_stored_and_changed(
    cluster: Cluster, namespace: str
) -> None:
    """Kubernetes 1.20 made by Go 1.19 dies of the first and refuses the second, unless mended."""
    words = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": words, "word": {"type": "string"}}}
    plural = f"words{namespace[-6:]}"
    names = {"kind": plural.capitalize(), "plural": plural}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.test.chrek.io"},
        "spec": {
            "group": "test.chrek.io",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
    }
    cluster.kubectl("create", "-f", "-", input=definition)
    try:
        named = f"crd/{plural}.test.chrek.io"
        cluster.kubectl("wait", "--for=condition=Established", named, "--timeout=30s")
        labels = {"a": "1", "b": "2"}
        made = {
            "apiVersion": "test.chrek.io/v1",
            "kind": names["kind"],
            "metadata": {"name": "one", "labels": labels, "annotations": labels},
            "spec": {"deep": {"c": "", "d": "4"}},
            "word": "",
        }
        cluster.create(namespace, made)
        patch = '{"spec": {"deep": {"d": ""}}}'
        cluster.kubectl("-n", namespace, "patch", plural, "one", "--type=merge", "-p", patch)
        found = cluster.get(namespace, plural, "one")
        assert (found["word"], found["spec"]["deep"]) == ("", {"c": "", "d": ""})
    finally:
        cluster.kubectl("delete", f"crd/{plural}.test.chrek.io")


def test_a_restricted_user_may_create_restricted_pods_only(
    cluster: Cluster, namespace: str
) -> None:
    if not cluster.own:
        pytest.skip("the restricted user is this cluster's own")
    refused = cluster.kubectl(
        "-n", namespace, "create", "-f", "-", RESTRICTED, input=pod("plain"), code=1
    )
    assert "PodSecurityPolicy: unable to admit pod" in refused.err
    decent = pod("decent")
    decent["spec"]["securityContext"] = {  # type: ignore[index]
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    cluster.kubectl("-n", namespace, "create", "-f", "-", RESTRICTED, input=decent)
    cluster.wait_for_pod(namespace, "decent")


async def test_the_python_client_reaches_the_api(cluster: Cluster, namespace: str) -> None:
    async with cluster.api() as api:
        found = await client.CoreV1Api(api).read_namespace(namespace)
    assert found.metadata.labels["chrek"] == "enabled"
    assert cluster.version >= (1, 20)
