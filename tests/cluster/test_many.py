"""Many placeholders at once on one node: all serve, a few are restored at a time, and the agent's
memory does not grow with them."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from . import on_node
from .client import Cluster
from .conftest import Say
from .podspecs import deployment, model, pod
from .team import Team, at_work

SOURCES = 6
MANY = 20
AT_ONCE = 2
WEB = "one-of-many"  # in the command of these
GROWTH_MIB = 48  # seen: -8 to +18, as the allocator has it; a checkpoint is larger


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "many", f"agent.restores={AT_ONCE}") as made:
        made.create(deployment("web", 1, pod("x", model("--message", WEB, mebibytes=20))))
        yield made


def agent_mib(team: Team) -> float:
    """The agent's resident memory, as its metrics tell it."""
    (agent,) = team.chrek.pods("agent")
    path = f"/api/v1/namespaces/{team.chrek.namespace}/pods/{agent['metadata']['name']}:8081"
    page = team.cluster.raw(f"{path}/proxy/metrics")
    found = re.search(r"^process_resident_memory_bytes (\S+)$", page, re.MULTILINE)
    assert found, page
    return float(found[1]) / (1 << 20)


@contextmanager
def most_at_once(team: Team) -> Iterator[Callable[[], int]]:
    """How many were being restored at any moment since; 0 where that cannot be seen."""
    ended, seen = threading.Event(), [0]
    node = on_node.node_of(team.cluster) if team.cluster.own else None

    def look() -> None:
        while node and not ended.is_set():
            seen.append(on_node.restoring(node, WEB))
            time.sleep(0.05)

    looking = threading.Thread(target=look)
    looking.start()
    yield lambda: max(seen)
    ended.set()
    looking.join()


def test_of_sources_that_are_warm_at_once_one_is_captured(team: Team) -> None:
    team.create(deployment("alike", SOURCES, pod("x", model("--message", "alike", mebibytes=5))))
    names = team.wait_for_pods(SOURCES, "alike")
    team.wait_for_checkpoint(names[0])
    captured = [name for name in names if "Checkpointed" in team.events(name)]
    assert len(captured) == 1
    team.kubectl("delete", "deployment", "alike")


def test_twenty_at_once_are_restored_and_the_agents_memory_stays_flat(team: Team, say: Say) -> None:
    (first,) = team.wait_for_pods(1)
    team.wait_for_checkpoint(first)
    token, memory = team.ask(first)["token"], [agent_mib(team)]
    for _ in range(2):
        with most_at_once(team) as at_once:
            team.kubectl("scale", "deployment/web", f"--replicas={1 + MANY}")
            names = team.wait_for_pods(1 + MANY, seconds=240)
            most = at_once()
        team.wait_for_all_restored(names[1:])
        assert {team.ask(name)["token"] for name in names} == {token}
        assert most <= AT_ONCE
        memory.append(agent_mib(team))
        team.kubectl("scale", "deployment/web", "--replicas=1")
        team.wait("the others to be gone", lambda: len(team.get("pods")["items"]) == 1, seconds=120)
    shown = ", ".join(f"{each:.0f}" for each in memory)
    say(f"the agent's memory before and after each {MANY}: {shown} MiB; at once: {most}")
    assert memory[2] - memory[1] < GROWTH_MIB
