"""Checkpoints that are deleted, or are more than is kept, leave the claim; a namespace can go."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import preload
from .client import VOLUME_OF, Cluster
from .conftest import make_namespace
from .installation import Installation
from .podspecs import container, deployment, model, pod
from .releases import CHART
from .team import Team, at_work

CLEANER = "chrek.io/component=cleaner"


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "collecting", "storage.keep=1") as made:
        yield made


def captured(team: Team, app: str, *options: str) -> Path:
    """An app of one pod that has a checkpoint, and is gone; where its data lies."""
    team.create(deployment(app, 1, pod("x", model("--message", app, *options))))
    (source,) = team.wait_for_pods(1, app)
    team.wait_for_checkpoint(source)
    home = team.data(source).parent
    assert sorted(path.name for path in home.glob("*/manifest.json")) == ["manifest.json"]
    team.kubectl("scale", "deployment", app, "--replicas=0")
    team.wait(f"no pod of {app}", lambda: not names(team, "pods", "-l", f"app={app}"))
    return home


def names(team: Team, *what: str) -> list[str]:
    return team.kubectl("get", *what, "-o", "name").out.split()


def is_there(team: Team, checkpoint: str) -> bool:
    return f"checkpoint.chrek.io/{checkpoint}" in names(team, "checkpoints")


@pytest.fixture
def another(team: Team) -> Iterator[None]:
    """A pod of chrek's that has the claim mounted and is never captured."""
    annotations = {"chrek.io/checkpoint": "auto"}
    never = container(command=["sleep", "3600"], readinessProbe=None)
    team.create(deployment("another", 1, pod("x", never, annotations=annotations)))
    team.wait_for_pods(1, "another")
    yield
    team.kubectl("delete", "deployment", "another", "--wait=false")
    team.wait("it to end", lambda: not names(team, "pods", "-l", "app=another"))


@pytest.mark.usefixtures("another")
def test_a_deleted_checkpoint_goes_through_any_pod_that_mounts_the_claim(team: Team) -> None:
    home = captured(team, "deleted")
    team.kubectl("delete", "checkpoint", home.name, "--timeout=60s")
    assert not home.exists()
    assert names(team, "pods", "-l", CLEANER) == []


def test_with_no_pod_left_a_cleaner_comes_and_goes(team: Team) -> None:
    home = captured(team, "alone")
    team.kubectl("delete", "checkpoint", home.name, "--wait=false")
    team.wait("a cleaner", lambda: names(team, "pods", "-l", CLEANER), 90)
    team.wait("it to be gone", lambda: not is_there(team, home.name), 90)
    assert not home.exists()
    team.wait("the cleaner to go", lambda: not names(team, "pods", "-l", CLEANER), 60)


@pytest.mark.usefixtures("another")
def test_what_nobody_restores_for_its_ttl_goes(team: Team) -> None:
    home = captured(team, "old")
    team.kubectl(
        "patch", "checkpoint", home.name, "--type=merge", "--patch", '{"spec":{"ttl":"5s"}}'
    )
    team.wait("its data to go", lambda: not list(home.glob("*/manifest.json")), 180)

    def dropped() -> bool:
        return not team.get("checkpoint", home.name)["status"].get("variants")

    team.wait("it to say so", dropped)


@pytest.mark.usefixtures("another")
def test_of_a_workload_the_newest_are_kept(team: Team) -> None:
    first = captured(team, "web")
    environment = '{"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"main","env":['
    environment += '{"name":"NEW","value":"1"}]}]}}}}'
    team.kubectl("patch", "deployment", "web", "--patch", environment)
    (source,) = team.wait_for_pods(1)
    team.wait_for_checkpoint(source)
    second = team.data(source)
    assert second.parent != first
    team.wait("the first to go", lambda: not list(first.glob("*/manifest.json")), 180)
    assert (second / "manifest.json").exists()


def test_a_namespace_with_checkpoints_can_be_deleted(cluster: Cluster) -> None:
    with at_work(cluster, "ending") as team:
        captured(team, "gone")
        team.create(deployment("stays", 1, pod("x", model("--message", "stays"))))
        (source,) = team.wait_for_pods(1, "stays")
        team.wait_for_checkpoint(source)
        end(team)
        make_namespace(cluster, team.namespace, {})  # for who deletes it at last


def test_a_namespace_that_chrek_itself_is_in_can_be_deleted(cluster: Cluster) -> None:
    name = f"one-line-{uuid.uuid4().hex[:6]}"
    make_namespace(cluster, name, {"chrek": "enabled"})
    claim = cluster.claim(name)
    try:
        cluster.helm(
            "install", name, CHART, "--namespace", name, "--wait", "--timeout", "180s",
            "--set", "storage.pvc.existingClaim=chrek-checkpoints", *preload.values(cluster),
        )  # fmt: skip
        chrek = Installation(cluster, name, name)
        chrek.wait_until_asked(name)
        team = Team(cluster, chrek, name, claim)
        captured(team, "gone")
        end(team)
    finally:
        kinds = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations"
        chosen = f"app.kubernetes.io/instance={name}"
        cluster.kubectl("delete", kinds, "-l", chosen)
        cluster.kubectl("delete", "pv", "-l", f"{VOLUME_OF}={name}", "--wait=false")
        shutil.rmtree(claim.parent, ignore_errors=True)


def end(team: Team) -> None:
    """Delete the team's namespace."""
    done = team.cluster.kubectl(
        "delete", "namespace", team.namespace, "--timeout=150s", code=None, timeout=180
    )
    if done.code:
        left = names(team, "checkpoints")
        for each in left:  # or it would be there for ever
            without = '{"metadata":{"finalizers":null}}'
            team.kubectl("patch", each, "--type=merge", "--patch", without)
        raise AssertionError(f"{done.err}; held by {left}")
