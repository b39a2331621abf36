"""Pods that leave the command to their image, or that run an image with chrek-init in it."""

from collections.abc import Iterator

import pytest

from .client import Cluster
from .podspecs import COMMAND, WITH_ENTRYPOINT, WITH_INIT, container, deployment, model, pod
from .team import Team, at_work

ROLE = "chrek.io/role"


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "commands") as made:
        yield made


def test_what_an_image_runs_is_learned_of_the_first_pod_and_used_from_the_second_on(
    team: Team,
) -> None:
    args = ["--warm-up", "3", "--message", "only args"]
    written = pod("x", container(image=WITH_ENTRYPOINT, command=None, args=args))
    team.create(deployment("web", 1, written))
    (first,) = team.wait_for_pods(1)
    assert ROLE not in team.get("pod", first)["metadata"]["labels"]
    team.wait("it to be learned", lambda: "CommandLearned" in team.events(first))
    assert "is taken on" in team.described(first)
    (checkpoint,) = team.get("checkpoints")["items"]
    (learned,) = checkpoint["status"]["images"]
    assert (learned["image"], learned["entrypoint"]) == (WITH_ENTRYPOINT, COMMAND)
    assert learned["cmd"] == ["--port", "8000"]

    second = team.replaced()
    assert team.get("pod", second)["metadata"]["labels"][ROLE] == "source"
    team.wait_for_checkpoint(second)
    before = team.ask(second)
    assert before["message"] == "only args"

    third = team.replaced()
    team.wait_for_restored(third)
    assert team.ask(third)["started_at"] == before["started_at"]


def test_a_checkpoint_image_runs_in_source_and_placeholder(team: Team) -> None:
    annotations = {"chrek.io/checkpoint": "auto", "chrek.io/checkpoint-image": WITH_INIT}
    team.create(deployment("image", 1, pod("x", model("--worker"), annotations=annotations)))
    (first,) = team.wait_for_pods(1, "image")
    found = team.get("pod", first)["spec"]
    assert found["containers"][0]["image"] == WITH_INIT
    assert "initContainers" not in found
    team.wait_for_checkpoint(first)
    token = team.ask(first)["token"]

    second = team.replaced("image")
    team.wait_for_restored(second)
    assert team.ask(second)["token"] == token
    # The claim is there for the node's sake only, and nobody in the container can write to it.
    mounts = [line.split() for line in team.inside(second, "cat", "/proc/1/mountinfo").splitlines()]
    (claim,) = [words for words in mounts if words[4] == "/checkpoints"]
    assert "ro" in claim[5].split(",")
