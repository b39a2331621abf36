"""An upgrade of the chart rolls webhook and agent while restored pods run: they run on."""

from collections.abc import Iterator

import pytest

from .client import Cluster
from .podspecs import deployment, model, pod
from .team import Team, at_work

PARTS = ("agent", "webhook")


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "upgrade") as made:
        made.create(deployment("web", 1, pod("x", model("--worker"))))
        yield made


def test_restored_pods_run_on_and_can_be_restored_again(team: Team) -> None:
    (source,) = team.wait_for_pods(1)
    team.wait_for_checkpoint(source)
    team.kubectl("scale", "deployment/web", "--replicas=3")
    names = team.wait_for_pods(3)
    restored = [name for name in names if name != source]
    for name in restored:
        team.wait_for_restored(name)
        assert team.ask(name, "/count") == 1
    before = {name: team.ask(name) for name in names}
    parts = [each["metadata"]["uid"] for kind in PARTS for each in team.chrek.pods(kind)]

    team.chrek.upgrade("agent.podAnnotations.turn=two", "webhook.podAnnotations.turn=two")
    for what in (f"daemonset/{team.chrek.agent}", f"deployment/{team.chrek.webhook}"):
        team.cluster.wait_for_rollout(team.chrek.namespace, what)
    after = [each["metadata"]["uid"] for kind in PARTS for each in team.chrek.pods(kind)]
    assert not set(parts) & set(after)

    assert team.pods() == names
    assert {name: team.ask(name) for name in names} == before
    assert all(team.container(name)["restartCount"] == 0 for name in names)
    assert all(team.times(name, "Restored") == 1 for name in restored)

    team.ask(restored[0], "/exit?code=3")
    team.wait_for_restart(restored[0])
    team.wait("it to be restored again", lambda: team.times(restored[0], "Restored") == 2)
    team.kubectl("scale", "deployment/web", "--replicas=4")
    (new,) = set(team.wait_for_pods(4)) - set(names)
    team.wait_for_restored(new)
    tokens = {team.ask(name)["token"] for name in (source, restored[0], new)}
    assert len(tokens) == 1
