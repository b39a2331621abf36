"""What changes under a workload: the same again is restored; another image or environment starts
cold, is captured, and is restored from then on."""

from collections.abc import Callable, Iterator

import pytest

from . import on_node
from .client import Cluster
from .images import TESTS
from .podspecs import SERVER, WITH_ENTRYPOINT, config_map, deployment, model, pod
from .team import Team, at_work

MOVING = f"{TESTS}/moving:1"


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "rollouts") as made:
        yield made


def captured(team: Team, name: str, variants: int = 1) -> str:
    """Wait until the only pod of a Deployment is captured; its token."""
    (found,) = team.wait_for_pods(1, name)
    team.wait_for_checkpoint(found, variants)
    return str(team.ask(found)["token"])


def test_all_pods_of_a_rolling_restart_are_restored(team: Team) -> None:
    team.create(deployment("again", 1, pod("x", model("--message", "again"))))
    token = captured(team, "again")
    team.kubectl("scale", "deployment/again", "--replicas=2")
    before = team.wait_for_pods(2, "again")
    team.kubectl("rollout", "restart", "deployment/again")
    team.cluster.wait_for_rollout(team.namespace, "deployment/again")
    after = team.wait_for_pods(2, "again")
    assert not set(before) & set(after)
    for name in after:
        team.wait_for_restored(name)
        assert team.ask(name)["token"] == token


def test_another_image_starts_cold_is_captured_and_is_restored(team: Team) -> None:
    team.create(deployment("web", 1, pod("x", model("--message", "image"))))
    first = captured(team, "web")
    (name,) = team.pods()
    checkpoint = team.checkpoint(name)["metadata"]["name"]
    team.kubectl("set", "image", "deployment/web", f"main={WITH_ENTRYPOINT}")
    team.cluster.wait_for_rollout(team.namespace, "deployment/web")
    (name,) = team.wait_for_pods(1)
    team.wait_for_reason(name, False, "NoCheckpoint")
    second = captured(team, "web")
    assert second != first
    assert team.checkpoint(name)["metadata"]["name"] != checkpoint
    name = team.replaced()
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == second
    team.kubectl("rollout", "undo", "deployment/web")
    team.cluster.wait_for_rollout(team.namespace, "deployment/web")
    (name,) = team.wait_for_pods(1)
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == first


@pytest.fixture
def moving(cluster: Cluster) -> Iterator[Callable[[str], object]]:
    """Moves the tag MOVING to another image on the node."""
    node = on_node.node_of(cluster)

    def move(image: str) -> None:
        on_node.containerd(node, "images", "tag", "--force", image, MOVING)

    yield move
    on_node.containerd(node, "images", "rm", MOVING)


def test_a_tag_that_moves_to_another_image_gets_a_variant_of_its_own(
    team: Team, moving: Callable[[str], object]
) -> None:
    moving(SERVER)
    team.create(deployment("moved", 1, pod("x", model(image=MOVING))))
    first = captured(team, "moved")
    moving(WITH_ENTRYPOINT)
    name = team.replaced("moved")
    team.wait_for_reason(name, False, "NoVariantFits")
    assert "image digest" in team.events(name)["ColdStart"]
    second = captured(team, "moved", variants=2)
    assert second != first
    digests = {each["imageDigest"] for each in team.variants(name)}
    assert len(digests) == 2
    name = team.replaced("moved")
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == second
    moving(SERVER)
    name = team.replaced("moved")
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == first


@pytest.mark.parametrize("how", ["configMapKeyRef", "envFrom"])
def test_a_config_map_that_is_environment_makes_another_variant_when_it_changes(
    team: Team, how: str
) -> None:
    app = how.lower()
    team.create(config_map(app, MESSAGE="one"))
    named = {"configMapKeyRef": {"name": app, "key": "MESSAGE"}}
    environment = (
        {"env": [{"name": "MESSAGE", "valueFrom": named}]}
        if how == "configMapKeyRef"
        else {"envFrom": [{"configMapRef": {"name": app}}]}
    )
    team.create(deployment(app, 1, pod("x", model(**environment))))
    first = captured(team, app)
    team.kubectl("patch", "configmap", app, "-p", '{"data": {"MESSAGE": "two"}}')
    name = team.replaced(app)
    team.wait_for_reason(name, False, "NoVariantFits")
    assert "environment" in team.events(name)["ColdStart"]
    assert team.ask(name)["message"] == "two"
    second = captured(team, app, variants=2)
    name = team.replaced(app)
    team.wait_for_restored(name)
    assert (team.ask(name)["message"], team.ask(name)["token"]) == ("two", second)
    team.kubectl("patch", "configmap", app, "-p", '{"data": {"MESSAGE": "one"}}')
    name = team.replaced(app)
    team.wait_for_restored(name)
    assert (team.ask(name)["message"], team.ask(name)["token"]) == ("one", first)
