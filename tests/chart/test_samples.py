"""The samples say what they are there to show."""

from typing import Any

import pytest
import yaml

from chrek.pods.identity import identity
from chrek.pods.wish import read, unknown

from .rendering import REPOSITORY, Object

SAMPLES = {
    path.stem: path for path in sorted((REPOSITORY / "manifests" / "samples").glob("*.yaml"))
}
SERVERS = ("sglang", "vllm")


def workload(name: str) -> Object:
    """The one object of the sample that makes pods."""
    objects = yaml.safe_load_all(SAMPLES[name].read_text())
    (found,) = (each for each in objects if "template" in each["spec"])
    return dict(found)


def annotations(name: str) -> dict[str, str]:
    return dict(workload(name)["spec"]["template"]["metadata"]["annotations"])


def container(name: str) -> Object:
    (found,) = workload(name)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def identity_of(name: str) -> str:
    pod = workload(name)["spec"]["template"]
    found = container(name)
    return identity(pod, found, image=found["image"], ignore_env=set())


@pytest.mark.parametrize("name", SAMPLES)
def test_every_annotation_is_one_that_chrek_reads(name: str) -> None:
    assert read(annotations(name), {}) is not None
    assert unknown(annotations(name)) == []


@pytest.mark.parametrize("name", SAMPLES)
def test_each_says_how_it_is_applied_by_its_own_path(name: str) -> None:
    assert f"--filename manifests/samples/{name}.yaml" in SAMPLES[name].read_text()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_pod_is_warm_at_some_time_and_has_a_memory_limit(name: str) -> None:
    asked: Any = read(annotations(name), {})
    assert "readinessProbe" in container(name) or asked.checkpoint_after is not None
    resources = container(name)["resources"]
    assert resources["limits"]["memory"] == resources["requests"]["memory"]


def test_the_deployment_starts_from_what_the_job_makes() -> None:
    made, used = annotations("checkpoint-job"), annotations("named-deployment")
    assert made["chrek.io/checkpoint"] == used["chrek.io/checkpoint"] != "auto"
    assert made["chrek.io/after-checkpoint"] == "exit"
    assert "chrek.io/after-checkpoint" not in used
    assert identity_of("checkpoint-job") == identity_of("named-deployment")
    job = workload("checkpoint-job")
    assert f"job/{job['metadata']['name']}" in SAMPLES["checkpoint-job"].read_text()
    assert job["spec"]["activeDeadlineSeconds"]


@pytest.mark.parametrize("name", SERVERS)
def test_model_servers_are_as_people_write_them(name: str) -> None:
    found = container(name)
    assert "command" not in found
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= found.keys()
    assert found["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "/dev/shm" in {mount["mountPath"] for mount in found["volumeMounts"]}
    (port,) = (argument for argument in found["args"] if argument.startswith("--port="))
    assert port == f"--port={found['ports'][0]['containerPort']}"
