"""Agent or webhook end in the midst of their work, or are not there: every pod ends up serving."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from . import on_node
from .client import Cluster
from .conftest import Say
from .node import Node
from .podspecs import deployment, model, pod
from .team import Team, at_work

RESTORED = "restored-again-and-again"  # in the command of what is
SELECTOR = "/spec/template/spec/nodeSelector"


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "absence") as made:
        hasty = {"chrek.io/checkpoint": "auto", "chrek.io/restore-timeout": "15"}
        web = model("--message", RESTORED, mebibytes=100)
        made.create(deployment("web", 1, pod("x", web, annotations=hasty)))
        yield made


@pytest.fixture(scope="module")
def token(team: Team) -> str:
    """Of what is restored."""
    return team.captured()


def agent_pid(team: Team, node: Node) -> int:
    """The agent's first process, on the node."""
    (agent,) = team.chrek.pods("agent")
    container = agent["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    return min(on_node.processes(node, container).values())


def wait_for_agent(team: Team) -> None:
    team.cluster.wait_for_rollout(team.chrek.namespace, f"daemonset/{team.chrek.agent}")


def end_agent(team: Team, node: Node, how: str, pid: int) -> None:
    if how == "killed":
        on_node.kill(node, pid)
    else:
        (agent,) = team.chrek.pods("agent")
        name = agent["metadata"]["name"]
        team.cluster.kubectl("-n", team.chrek.namespace, "delete", "pod", name, "--wait=false")


@pytest.mark.parametrize("how", ["killed", "deleted"])
def test_a_source_outlives_its_agent_and_is_captured_by_the_next(
    team: Team, token: str, how: str
) -> None:
    assert token
    node = on_node.node_of(team.cluster)
    pid = agent_pid(team, node)
    app = f"source-{how}"
    team.create(deployment(app, 1, pod("x", model("--message", app, mebibytes=300))))
    (name,) = team.wait("its pod", lambda: team.pods(app))
    stored = team.stored(name)

    def being_written() -> bool:
        return any(team.copies(node).glob(f"{stored.name}/.*/criu/*"))

    team.cluster.wait("a capture", being_written, pause_seconds=0.005)
    end_agent(team, node, how, pid)
    team.wait_for_pods(1, app)
    before = team.ask(name)
    team.wait_for_checkpoint(name, seconds=150)
    after = team.ask(name)
    assert (after["token"], after["pid"]) == (before["token"], before["pid"])
    assert team.container(name)["restartCount"] == 0
    assert [path.name for path in stored.iterdir()] == [team.data(name).name]
    name = team.replaced(app)
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == before["token"]
    wait_for_agent(team)


@pytest.mark.parametrize("how", ["killed", "deleted"])
def test_placeholders_outlive_an_agent_that_ends_while_it_restores_them(
    team: Team, token: str, how: str, say: Say
) -> None:
    node = on_node.node_of(team.cluster)
    pid = agent_pid(team, node)
    team.kubectl("scale", "deployment/web", "--replicas=6")
    team.cluster.wait("a restore", lambda: on_node.restoring(node, RESTORED), pause_seconds=0.005)
    end_agent(team, node, how, pid)
    names = team.wait_for_pods(6, seconds=150)
    ways = {name: team.way(name) for name in names}
    say(f"the agent was {how}: {sorted(ways.values())}")
    for name in names[1:]:
        if team.condition(name)[0] == "True":
            assert team.ask(name)["token"] == token
        else:
            assert "untouched" not in ways[name]
            assert team.ask(name)["token"] != token
    wait_for_agent(team)
    team.kubectl("scale", "deployment/web", "--replicas=1")
    team.wait_for_pods(1)


@contextmanager
def without_agent(team: Team) -> Iterator[None]:
    """The DaemonSet wants a kind of node that there is none of."""
    words = ["-n", team.chrek.namespace, "patch", f"daemonset/{team.chrek.agent}", "--type=json"]
    before = team.cluster.get(team.chrek.namespace, f"daemonset/{team.chrek.agent}")
    selector = before["spec"]["template"]["spec"]["nodeSelector"]

    def choose(wanted: dict[str, str]) -> None:
        change = [{"op": "replace", "path": SELECTOR, "value": wanted}]
        team.cluster.kubectl(*words, "-p", json.dumps(change))

    choose({"chrek-test/node": "none-such"})
    team.chrek.wait_until_gone("agent")
    yield
    choose(selector)
    team.wait("an agent", lambda: team.chrek.pods("agent"))
    wait_for_agent(team)


def test_without_an_agent_pods_start_cold_by_themselves(team: Team, token: str) -> None:
    with without_agent(team):
        name = team.replaced()
        labels = team.get("pod", name)["metadata"]["labels"]
        assert labels["chrek.io/role"] == "placeholder"
        assert "no word from the node agent" in team.log(name)
        assert team.ask(name)["token"] != token
        new = deployment("new", 1, pod("x", model("--message", "new")))
        team.create(new)
        team.wait_for_pods(1, "new")
    name = team.replaced()
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == token
    (late,) = team.pods("new")
    team.wait_for_checkpoint(late)  # by the agent that found it running


def test_without_a_webhook_new_pods_are_plain_and_restored_ones_are_restored_again(
    team: Team, token: str
) -> None:
    name = team.replaced()
    team.wait_for_restored(name)
    webhook = ["-n", team.chrek.namespace, "scale", f"deployment/{team.chrek.webhook}"]
    team.cluster.kubectl(*webhook, "--replicas=0")
    team.chrek.wait_until_gone("webhook")
    team.kubectl("scale", "deployment/web", "--replicas=2")
    plain = next(each for each in team.wait_for_pods(2) if each != name)
    assert "chrek.io/role" not in team.get("pod", plain)["metadata"]["labels"]
    assert team.ask(plain)["token"] != token
    team.ask(name, "/exit?code=3")
    team.wait_for_restart(name)
    team.wait("it to be restored again", lambda: team.times(name, "Restored") == 2)
    assert team.ask(name)["token"] == token
    team.cluster.kubectl(*webhook, "--replicas=2")
    team.cluster.wait_for_rollout(team.chrek.namespace, f"deployment/{team.chrek.webhook}")
    team.chrek.wait_until_asked(team.namespace)
