"""Every object of every way to install is one that each Kubernetes knows."""

import pytest
import yaml

from .rendering import CHART, NEWEST, REPOSITORY, Values, render
from .schemas import DIRECTORIES, OLDEST_CHECKED, complaint, number
from .value_sets import VALUE_SETS

CERT_MANAGER = "cert-manager.io/v1"
OLDEST = next((version for version in DIRECTORIES if number(version) <= OLDEST_CHECKED), None)
NEEDS_OLD = "needs the schemas of old versions: tests/chart/fetch-schemas brings them"


@pytest.mark.parametrize("version", DIRECTORIES)
@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
def test_a_cluster_of_each_version_knows_every_object_and_field(
    values: Values, version: str
) -> None:
    objects = [
        each
        for each in render(values, kubernetes=version)
        if each["apiVersion"] != CERT_MANAGER  # no schema of Kubernetes' own
    ]
    complaints = {
        f"{each['kind']} {each['metadata']['name']}": complaint(each, version) for each in objects
    }
    assert not {name: said for name, said in complaints.items() if said}


@pytest.mark.parametrize("version", DIRECTORIES)
def test_a_cluster_of_each_version_knows_the_definition_of_checkpoints(version: str) -> None:
    definition = yaml.safe_load((CHART / "crds" / "checkpoints.chrek.io.yaml").read_text())
    assert complaint(definition, version) is None


@pytest.mark.parametrize("version", DIRECTORIES)
@pytest.mark.parametrize(
    "sample",
    sorted((REPOSITORY / "manifests" / "samples").glob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_a_cluster_of_each_version_knows_the_samples(sample: object, version: str) -> None:
    objects = list(yaml.safe_load_all(sample.read_text()))  # type: ignore[attr-defined]
    assert objects
    assert [said for each in objects if (said := complaint(each, version))] == []


def test_the_oldest_and_the_newest_version_are_among_them() -> None:
    assert list(DIRECTORIES)[-1] == NEWEST, "rendering.NEWEST is behind the schemas"
    if OLDEST is None:
        pytest.skip(NEEDS_OLD)


def test_what_a_version_does_not_have_is_noticed() -> None:
    if OLDEST is None:
        pytest.skip(NEEDS_OLD)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    assert complaint({**service, "spec": {"typo": 1}}, OLDEST)
    assert complaint({**service, "spec": {"typo": 1}}, NEWEST)
    assert complaint({**service, "spec": {"clusterIP": None}}, NEWEST)
    assert complaint({**service, "apiVersion": "policy/v1beta1"}, NEWEST)
    assert complaint(service, NEWEST) is None
