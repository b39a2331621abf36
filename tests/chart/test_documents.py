"""What the documents say of the chart is so."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .rendering import CHART, REPOSITORY, Object, refusal, render

WHOLE = {"resources", "nodeSelector", "affinity", "podAnnotations", "podLabels"}
DOCUMENTS = [CHART / "README.md", REPOSITORY / "docs" / "install.md", REPOSITORY / "README.md"]
VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text())
TABLE = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", DOCUMENTS[0].read_text(), re.MULTILINE))


def leaves(values: Object, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and key not in WHOLE:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def test_the_table_of_values_names_each_of_them_and_no_other() -> None:
    assert TABLE.keys() == dict(leaves(VALUES)).keys()


@pytest.mark.parametrize(("path", "value"), list(leaves(VALUES)))
def test_the_table_gives_the_default(path: str, value: Any) -> None:
    said = TABLE[path]
    if said.startswith("`"):
        assert yaml.safe_load(said.strip("`")) == value
    else:
        assert path.endswith((".resources", "agent.tolerations"))


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())

    def paths(node: Object, path: str = "") -> Iterator[str]:
        for key, below in node["properties"].items():
            target = below
            if "$ref" in below:
                target = schema["definitions"][below["$ref"].rpartition("/")[2]]
            if "properties" in target and key not in WHOLE:
                assert target["additionalProperties"] is False, f"{path}{key}"
                yield from paths(target, f"{path}{key}.")
            else:
                yield f"{path}{key}"

    assert schema["additionalProperties"] is False
    assert set(paths(schema)) - {"global"} == dict(leaves(VALUES)).keys()


def commands(document: Path) -> list[list[str]]:
    text = document.read_text().replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("helm install ")]


INSTALLATIONS = [each for document in DOCUMENTS for each in commands(document)]


@pytest.mark.parametrize("command", INSTALLATIONS, ids=" ".join)
def test_every_installation_that_is_shown_can_be_done(command: list[str]) -> None:
    _, _, release, chart, *flags = command
    assert chart == "manifests/chrek"
    namespace = flags[flags.index("--namespace") + 1]
    values: Object = {}
    for setting in (flags[at + 1] for at, flag in enumerate(flags) if flag == "--set"):
        path, _, value = setting.partition("=")
        below = values
        *above, last = path.split(".")
        for key in above:
            below = below.setdefault(key, {})
        below[last] = yaml.safe_load(value)
    assert render(values, release=release, namespace=namespace)


def test_there_are_installations_to_try() -> None:
    assert len(INSTALLATIONS) >= 6


def test_the_chart_and_the_package_are_of_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text(), re.M)
    assert version
    assert chart["appVersion"] == version[1]


def test_the_chart_as_part_of_another_is_given_global_values() -> None:
    assert "How large" in refusal({"global": {"registry": "a"}})
