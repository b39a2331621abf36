"""Checkpoints that are deleted, or are more than is kept, leave the claim; a namespace can go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Cluster
from .conftest import make_namespace
from .podspecs import container, deployment, model, pod
from .team import Team, at_work

CLEANER = "chrek.io/component=cleaner"


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "collecting", "storage.keep=1") as made:
        let_cleaners_in(made)
        yield made


def let_cleaners_in(team: Team) -> None:
    """Where PodSecurityPolicies are enforced, somebody must be allowed one."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "restricted"},
        "rules": [
            {
                "apiGroups": ["policy"],
                "resources": ["podsecuritypolicies"],
                "resourceNames": ["restricted"],
                "verbs": ["use"],
            }
        ],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "restricted"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "restricted",
        },
        "subjects": [
            {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Group",
                "name": "system:serviceaccounts",
            }
        ],
    }  # fmt: skip
    team.create(role, binding)


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
        cluster.kubectl("delete", "namespace", team.namespace, "--timeout=120s", timeout=150)
        make_namespace(cluster, team.namespace, {})  # for who deletes it at last
