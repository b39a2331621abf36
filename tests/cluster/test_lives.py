"""A restored pod ends, crashes and comes again as any pod does."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from . import on_node
from .client import Cluster
from .layout import PROGRAMS
from .podspecs import deployment, model, pod
from .team import Team, at_work

GRACE_SECONDS = 60


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "lives") as made:
        yield made


@pytest.fixture(scope="module")
def token(team: Team) -> str:
    """Of the source, whose checkpoint all others are restored from."""
    written = pod("x", model("--worker"), terminationGracePeriodSeconds=GRACE_SECONDS)
    team.create(deployment("web", 1, written))
    return team.captured()


@pytest.fixture
def restored(team: Team, token: str) -> str:
    """A pod that was just restored."""
    return team.restored(token)


@contextmanager
def followed(team: Team, name: str) -> Iterator[Callable[[], list[str]]]:
    """Follows a pod's log from what it says next; what is given waits for the end of it."""
    command = [
        str(PROGRAMS / "kubectl"),
        "-n",
        team.namespace,
        "logs",
        "--follow",
        name,
        "-c",
        "main",
    ]
    environment = {**os.environ, "KUBECONFIG": str(team.cluster.kubeconfig), "NO_PROXY": "*"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as following:
        heard = following.stdout
        assert heard
        team.ask(name, "/say?words=followed")
        for line in heard:
            if line == "followed\n":
                break
        yield lambda: heard.read().splitlines()
        following.kill()


def test_a_deleted_pod_gets_sigterm_and_ends_in_order(team: Team, restored: str) -> None:
    with followed(team, restored) as log:
        team.kubectl("delete", "pod", restored, "--wait=false")
        # A kubelet may add that the container is gone.
        assert log()[:2] == ["SIGTERM: it finishes", "ends with 0"]
    left = GRACE_SECONDS // 2
    team.kubectl("wait", "--for=delete", f"pod/{restored}", f"--timeout={left}s")


def test_an_exit_code_is_the_pods_and_the_app_is_restored_again(
    team: Team, restored: str, token: str
) -> None:
    team.ask(restored, "/exit?code=3")
    status = team.wait_for_restart(restored)
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert "ends with 3" in team.kubectl("logs", "--previous", restored, "-c", "main").out
    team.wait("it to be restored again", lambda: team.times(restored, "Restored") == 2)
    assert team.condition(restored) == ("True", "Restored")
    assert team.ask(restored)["token"] == token


def test_an_app_that_is_killed_from_inside_is_restored_again(
    team: Team, restored: str, token: str
) -> None:
    pid = team.ask(restored)["pid"]
    kill = ("python3", "-c", f"import os; os.kill({pid}, 9)")
    team.kubectl("exec", restored, "-c", "main", "--", *kill, code=None)  # may end with the app
    killed(team, restored, token)


def test_an_app_that_is_killed_on_the_node_is_restored_again(
    team: Team, restored: str, token: str
) -> None:
    node = on_node.node_of(team.cluster)
    container = team.container(restored)["containerID"].rpartition("/")[2]
    on_node.kill(node, on_node.processes(node, container)[team.ask(restored)["pid"]])
    killed(team, restored, token)


def killed(team: Team, name: str, token: str) -> None:
    status = team.wait_for_restart(name)
    assert status["lastState"]["terminated"]["exitCode"] == 137
    team.wait("it to be restored again", lambda: team.times(name, "Restored") == 2)
    assert team.ask(name)["token"] == token


def test_its_other_processes_are_restored_too(team: Team, restored: str) -> None:
    about, worker = team.ask(restored), team.ask(restored, "/worker")
    assert worker["parent"] == about["pid"]
    assert worker["counted"] == 1
    assert team.ask(restored, "/worker")["counted"] == 2
