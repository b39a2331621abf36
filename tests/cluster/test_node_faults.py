"""What carries chrek ends and comes again: API server, runtime, all containers of the node."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from . import on_node
from .client import Cluster
from .node import Node
from .podspecs import deployment, model, pod
from .team import Team, at_work


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Node:
    return on_node.node_of(cluster)


@pytest.fixture(scope="module")
def team(cluster: Cluster, node: Node) -> Iterator[Team]:
    assert node
    with at_work(cluster, "node-faults") as made:
        made.create(deployment("web", 1, pod("x", model())))
        yield made


@pytest.fixture(scope="module")
def token(team: Team) -> str:
    """Of what is restored."""
    return team.captured()


@pytest.fixture
def restored(team: Team, token: str) -> str:
    """A pod that was just restored."""
    return team.restored(token)


def asked_directly(address: str) -> Any:
    """What a pod answers without the API server's help; None if it does not."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{address}:8000/", timeout=2) as answer:
            return json.load(answer)
    except OSError:
        return None


def test_an_app_is_restored_again_while_the_api_server_is_away(
    team: Team, node: Node, restored: str, token: str
) -> None:
    assert team.ask(restored, "/count") == 1
    container = team.container(restored)["containerID"].rpartition("/")[2]
    pid = on_node.processes(node, container)[team.ask(restored)["pid"]]
    address = team.get("pod", restored)["status"]["podIP"]

    def restored_again() -> bool:
        found = asked_directly(address)
        return bool(found) and (found["token"], found["counted"]) == (token, 0)

    with on_node.away(node, "kube-apiserver"):
        on_node.kill(node, pid)
        team.wait("it to be restored again", restored_again)
    team.wait_for_restart(restored)
    team.wait("it to say so", lambda: team.times(restored, "Restored") == 2)
    team.wait_for_restored(team.replaced())


def test_a_runtime_that_is_restarted_is_found_again(
    team: Team, node: Node, restored: str, token: str
) -> None:
    before = team.ask(restored)
    with on_node.away(node, "containerd"):
        pass
    team.wait("the pod to be Ready", lambda: team.is_ready(restored))
    after = team.ask(restored)
    assert (after["token"], after["pid"]) == (token, before["pid"])
    name = team.replaced()
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == token


def test_all_is_restored_when_all_containers_of_the_node_were_killed(
    team: Team, node: Node, restored: str, token: str
) -> None:
    tasks = on_node.containerd(node, "tasks", "ls").splitlines()[1:]
    on_node.kill(node, *(int(line.split()[1]) for line in tasks))

    def again() -> bool:
        return bool(team.container(restored)["restartCount"]) and team.is_ready(restored)

    team.wait("the pod to come again", again, seconds=150)
    assert team.pods() == [restored]
    assert team.ask(restored)["token"] == token
    team.wait("it to be restored again", lambda: team.times(restored, "Restored") == 2)
    team.chrek.wait_until_asked(team.namespace)
    name = team.replaced()
    team.wait_for_restored(name)
    assert team.ask(name)["token"] == token
