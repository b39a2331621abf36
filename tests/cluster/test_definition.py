"""The definition of Checkpoints on a real API server, and objects that it takes and refuses."""

import json
from typing import Any

import pytest
import yaml

from .client import Cluster
from .layout import REPOSITORY

DEFINITION = REPOSITORY / "manifests" / "chrek" / "crds" / "checkpoints.chrek.io.yaml"


@pytest.fixture(scope="module")
def definition(cluster: Cluster) -> None:
    """The definition of Checkpoints, as the documents say it is brought up to date."""
    bring_up_to_date(cluster, DEFINITION.read_text())


def bring_up_to_date(cluster: Cluster, text: str) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
    cluster.kubectl("wait", "--for=condition=Established", "crd/checkpoints.chrek.io")


@pytest.mark.usefixtures("definition")
def test_the_definition_is_brought_up_to_date_over_what_is_there(cluster: Cluster) -> None:
    newer = yaml.safe_load(DEFINITION.read_text())
    columns = newer["spec"]["versions"][0]["additionalPrinterColumns"]
    columns[0]["description"] = "Of a newer version"

    def shown() -> str:
        found = cluster.kubectl("get", "crd", "checkpoints.chrek.io", "-o", "json").json
        return str(found["spec"]["versions"][0]["additionalPrinterColumns"][0]["description"])

    try:
        bring_up_to_date(cluster, json.dumps(newer))
        assert shown() == "Of a newer version"
    finally:
        bring_up_to_date(cluster, DEFINITION.read_text())
    assert shown() != "Of a newer version"


@pytest.mark.usefixtures("definition")
def test_explain_reads_out_every_field(cluster: Cluster) -> None:
    schema = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"][0]["schema"]
    status = schema["openAPIV3Schema"]["properties"]["status"]["properties"]

    cluster.wait(  # the API server publishes a new definition's schema after a moment
        "the definition in the API server's schema",
        lambda: cluster.kubectl("explain", "checkpoints", code=None).code == 0,
    )

    def fields(path: str) -> str:
        return " ".join(cluster.kubectl("explain", path).out.split())

    for path, properties in (
        ("ckpt.status", status),
        ("ckpt.status.variants", status["variants"]["items"]["properties"]),
        ("checkpoints.status.images", status["images"]["items"]["properties"]),
        ("checkpoints.status.capture", status["capture"]["properties"]),
    ):
        said = fields(path)
        for name, field in properties.items():
            assert name in said
            assert " ".join(field["description"].split()) in said


@pytest.mark.usefixtures("definition")
def test_a_checkpoint_is_listed_with_its_columns(cluster: Cluster, namespace: str) -> None:
    cluster.create(namespace, CHECKPOINT)
    cluster.kubectl("-n", namespace, "replace", "--raw", status_path(namespace), "-f", "-",
                    input=with_status(cluster, namespace, STATUS))  # fmt: skip
    header, row = cluster.kubectl("-n", namespace, "get", "ckpt").out.splitlines()
    assert header.split() == [
        "NAME", "PHASE", "SIZE", "GPU", "NODE", "RESTORES", "LAST-RESTORE(S)", "AGE",
    ]  # fmt: skip
    assert "37.6 GiB" in row
    assert "1 x NVIDIA H200" in row
    assert {NAME, "Ready", "gpu-7", "3", "1.25"} <= set(row.split())
    wide = cluster.kubectl("-n", namespace, "get", "checkpoints", "-o", "wide").out
    assert "IDENTITY" in wide
    assert "fedcba9876543210" in wide
    assert "Published" in wide


@pytest.mark.usefixtures("definition")
def test_what_the_definition_does_not_know_is_dropped_or_refused(
    cluster: Cluster, namespace: str
) -> None:
    unknown = {**CHECKPOINT, "spec": {**CHECKPOINT["spec"], "typo": 1}, "status": STATUS}
    create = ["-n", namespace, "create", "--validate=false", "-f", "-"]
    cluster.kubectl(*create, input=unknown)
    found = cluster.get(namespace, "checkpoint", NAME)
    assert found["spec"] == CHECKPOINT["spec"]
    assert "status" not in found  # that is what the subresource is for
    for path, value in (
        ("ttl", "soon"), ("keep", 0), ("claim", "No Claim"),
    ):  # fmt: skip
        nonsense = {**CHECKPOINT, "metadata": {"name": "n"}, "spec": {path: value}}
        assert f"spec.{path}" in cluster.create(namespace, nonsense, code=1).err
    for nonsense in (
        {"phase": "Odd"},
        {"identity": "0123"},
        {"variants": [{"phase": "Ready"}]},
    ):
        body = with_status(cluster, namespace, nonsense)
        words = ["-n", namespace, "replace", "--raw", status_path(namespace), "-f", "-"]
        assert f"status.{next(iter(nonsense))}" in cluster.kubectl(*words, input=body, code=1).err


NAME = "0123456789abcdef"
CHECKPOINT: dict[str, Any] = {
    "apiVersion": "chrek.io/v1alpha1",
    "kind": "Checkpoint",
    "metadata": {"name": NAME},
    "spec": {"claim": "chrek-checkpoints", "ttl": "30d", "keep": 3},
}
STATUS: dict[str, Any] = {
    "phase": "Ready",
    "reason": "Published",
    "identity": "fedcba9876543210",
    "size": "37.6 GiB",
    "sizeBytes": 40372692582,
    "gpu": "1 x NVIDIA H200",
    "node": "gpu-7",
    "restores": 3,
    "lastRestoreSeconds": 1.25,
    "lastRestoreTime": "2026-01-02T03:04:05Z",
    "images": [{"image": "a", "entrypoint": ["/bin/a"], "cmd": []}],
    "variants": [{"name": NAME, "phase": "Ready", "gpuCount": 1, "coldStartSeconds": 61.5}],
    "capture": {"node": "gpu-7", "renewedAt": "2026-01-02T03:04:05.678901Z", "failures": 0},
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Published",
            "message": "It can be restored.",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ],
}  # fmt: skip


def status_path(namespace: str) -> str:
    return f"/apis/chrek.io/v1alpha1/namespaces/{namespace}/checkpoints/{NAME}/status"


def with_status(cluster: Cluster, namespace: str, status: dict[str, Any]) -> dict[str, Any]:
    return {**cluster.get(namespace, "checkpoint", NAME), "status": status}
