"""The definition of Checkpoints: one that old clusters take, that bounds what it holds, and that
`kubectl explain` can read out."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from .rendering import CHART, Object

PATH = CHART / "crds" / "checkpoints.chrek.io.yaml"
DEFINITION: Object = yaml.safe_load(PATH.read_text())
(VERSION,) = DEFINITION["spec"]["versions"]
SCHEMA: Object = VERSION["schema"]["openAPIV3Schema"]
STATUS: Object = SCHEMA["properties"]["status"]["properties"]

KNOWN_KEYS: Final = {
    "type", "description", "format", "properties", "required", "items", "enum", "pattern",
    "minLength", "maxLength", "minimum", "maximum", "maxItems",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip
"""Structural, no CEL (1.20 refuses it), nothing that keeps unknown fields."""


def nodes(schema: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


NODES = dict(nodes(SCHEMA))
ALL = pytest.mark.parametrize("path", NODES)


@ALL
def test_every_field_is_structural_and_explained(path: str) -> None:
    node = NODES[path]
    assert node["type"] in {"object", "array", "string", "integer", "number"}
    assert node.keys() <= KNOWN_KEYS
    if path == ".metadata":
        assert node.keys() == {"type"}  # an API server takes no more here
    else:
        assert node["description"].strip().endswith((".", ")")), node["description"]


@ALL
def test_every_field_is_bounded(path: str) -> None:
    node = NODES[path]
    if path in {".apiVersion", ".kind"}:
        return  # the API server's own
    if node["type"] == "string":
        assert "maxLength" in node or "enum" in node or node.get("format") == "date-time"
    if node["type"] == "array":
        assert node["maxItems"] <= 1024
    if node["type"] in {"integer", "number"}:
        assert "minimum" in node
    if node["type"] == "integer":
        assert node["format"] in {"int32", "int64"}


@ALL
def test_lists_of_objects_are_merged_by_a_key_that_is_always_there(path: str) -> None:
    node = NODES[path]
    if node["type"] == "array":
        if node["items"]["type"] == "object":
            assert node["x-kubernetes-list-type"] == "map"
            assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"])
        else:
            assert node["x-kubernetes-list-type"] == "atomic"
    assert set(node.get("required", [])) <= set(node.get("properties", {}))


def test_it_goes_by_the_names_that_people_type() -> None:
    assert DEFINITION["metadata"]["name"] == "checkpoints.chrek.io"
    assert DEFINITION["spec"]["group"] == "chrek.io"
    assert DEFINITION["spec"]["scope"] == "Namespaced"
    assert DEFINITION["spec"]["names"] == {
        "kind": "Checkpoint",
        "listKind": "CheckpointList",
        "plural": "checkpoints",
        "singular": "checkpoint",
        "shortNames": ["ckpt"],
    }
    assert VERSION["name"] == "v1alpha1"
    assert VERSION["served"] is VERSION["storage"] is True
    assert VERSION["subresources"] == {"status": {}}


def test_the_columns_show_what_there_is() -> None:
    columns = {each["name"]: each for each in VERSION["additionalPrinterColumns"]}
    assert list(columns) == [
        "Phase", "Size", "GPU", "Node", "Restores", "Last-Restore(s)", "Age", "Identity", "Reason",
    ]  # fmt: skip
    wide = {name for name, each in columns.items() if each.get("priority")}
    assert wide == {"Identity", "Reason"}
    for name, each in columns.items():
        if name != "Age":
            assert each["jsonPath"].startswith(".status.")
            field = STATUS[each["jsonPath"].removeprefix(".status.")]
            assert each["type"] == field["type"], name


def test_it_holds_the_fields_that_the_parts_of_chrek_agreed_on() -> None:
    assert SCHEMA["properties"]["spec"]["properties"].keys() == {"claim", "ttl", "keep"}
    assert STATUS.keys() == {
        "phase", "identity", "reason", "message", "observedGeneration", "coldStartSeconds", "size",
        "sizeBytes", "gpu", "node", "restores", "lastRestoreSeconds", "lastRestoreTime", "images",
        "variants", "capture", "conditions",
    }  # fmt: skip
    assert STATUS["images"]["items"]["properties"].keys() == {
        "image", "digest", "entrypoint", "cmd", "learnedAt",
    }  # fmt: skip
    assert STATUS["variants"]["items"]["properties"].keys() == {
        "name", "phase", "createdAt", "sizeBytes", "node", "architecture", "cpuModel", "kernel",
        "imageDigest", "environmentHash", "gpuProduct", "gpuCount", "gpuBytes", "driver",
        "formatVersion", "manifestDigest", "coldStartSeconds", "restores", "lastRestoreTime",
    }  # fmt: skip
    assert STATUS["capture"]["properties"].keys() == {
        "node", "podName", "podUID", "startedAt", "renewedAt", "failures", "retryAfter",
    }  # fmt: skip


def test_the_file_says_how_it_is_brought_up_to_date() -> None:
    path = PATH.relative_to(CHART.parents[1])
    assert f"kubectl apply --server-side --force-conflicts -f {path}" in PATH.read_text()


def test_nothing_in_it_is_of_one_release() -> None:
    assert "{{" not in PATH.read_text()
    assert not any(
        "instance" in label or "version" in label for label in DEFINITION["metadata"]["labels"]
    )


def test_the_structure_is_checked_at_all() -> None:
    broken: dict[str, Any] = {"properties": {"a": {"type": "array", "items": {"type": "object"}}}}
    assert dict(nodes(broken)).keys() == {"", ".a", ".a[]"}
