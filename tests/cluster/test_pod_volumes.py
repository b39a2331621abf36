"""Files that the kubelet writes into a pod are the restored pod's own, also where they were open or
watched at the capture."""

from collections.abc import Iterator
from typing import Any

import pytest

from .client import Cluster
from .podspecs import config_map, deployment, model, pod
from .team import Team, at_work

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
CONFIG, SECRET, PROJECTED = "/etc/config/text", "/etc/secret/word", "/etc/all/text"
OPEN = [CONFIG, SECRET, PROJECTED, TOKEN]
WATCHED = ["/etc/config", CONFIG, SECRET, TOKEN]
OWN_NAME = {"path": "pod", "fieldRef": {"fieldPath": "metadata.name"}}
VOLUMES: list[dict[str, Any]] = [
    {"name": "config", "configMap": {"name": "words"}},
    {"name": "secret", "secret": {"secretName": "words"}},
    {
        "name": "all",
        "projected": {
            "sources": [
                {"configMap": {"name": "words"}},
                {"downwardAPI": {"items": [OWN_NAME]}},
            ]
        },
    },
]
MOUNTS = [{"name": each["name"], "mountPath": f"/etc/{each['name']}"} for each in VOLUMES]


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "volumes") as made:
        yield made


@pytest.fixture(scope="module")
def source(team: Team) -> str:
    """A captured pod that has such files open and watches them."""
    options = [word for path in OPEN for word in ("--open", path)]
    options += [word for path in WATCHED for word in ("--watch", path)]
    written = pod("x", model(*options, volumeMounts=MOUNTS), volumes=VOLUMES)
    team.create(config_map("words", text="old"), secret("words", word="old"))
    team.create(deployment("web", 1, written))
    (name,) = team.wait_for_pods(1)
    team.wait_for_checkpoint(name)
    return name


def secret(name: str, **content: str) -> dict[str, Any]:
    return {**config_map(name), "kind": "Secret", "stringData": content, "data": {}}


def write(team: Team, text: str) -> None:
    """Change what the ConfigMap and the Secret say."""
    team.kubectl("patch", "configmap", "words", "-p", f'{{"data": {{"text": "{text}"}}}}')
    team.kubectl("patch", "secret", "words", "-p", f'{{"stringData": {{"word": "{text}"}}}}')


@pytest.fixture(scope="module")
def restored(team: Team, source: str) -> str:
    """A pod that was made after they changed, and restored."""
    write(team, "new, and longer than before")
    team.kubectl("scale", "deployment/web", "--replicas=2")
    name = next(each for each in team.wait_for_pods(2) if each != source)
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == team.ask(source)["token"]
    return name


def test_a_restored_pod_reads_its_own_files(team: Team, source: str, restored: str) -> None:
    for path in (CONFIG, SECRET, PROJECTED):
        assert team.ask(restored, f"/read?path={path}") == "new, and longer than before"
    assert team.ask(restored, "/read?path=/etc/all/pod") == restored
    tokens = {team.ask(name, f"/read?path={TOKEN}") for name in (source, restored)}
    assert len(tokens) == 2


def test_files_that_were_open_are_its_own_too(team: Team, restored: str) -> None:
    opened = team.ask(restored, "/open")
    assert opened.keys() == set(OPEN)
    for path, found in opened.items():
        assert found["text"] == team.ask(restored, f"/read?path={path}"), path
        assert "(deleted)" not in found["is"]


def test_it_is_told_of_changes_as_before(team: Team, source: str, restored: str) -> None:
    before = len(team.ask(restored, "/changes"))
    write(team, "newest")
    for name in (source, restored):
        team.wait(
            f"{name} to read the newest",
            lambda of=name: team.ask(of, f"/read?path={CONFIG}") == "newest",  # type: ignore[misc]
            seconds=90,
        )
    heard = team.wait("it to be told", lambda: team.ask(restored, "/changes")[before:])
    assert ["/etc/config", "..data"] in heard
    assert {CONFIG, SECRET} <= {path for path, _ in team.ask(restored, "/changes")}
