"""Pods of every kind: what is captured of the first is restored into the second."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .client import Cluster
from .podspecs import SERVER, container, deployment, job, model, pod, service, stateful_set
from .team import Team, at_work

BATCH = """
import pathlib, secrets, time
time.sleep(5)  # loading the model, say
token = secrets.token_hex(8)
pathlib.Path("/tmp/warm").touch()
time.sleep(8)  # the work
print("done by", token)
"""
LOCKED_UP = {
    "runAsUser": 1000,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SHARED: dict[str, Any] = {"name": "shared", "emptyDir": {}}
SHARED_MOUNT = {"name": "shared", "mountPath": "/shared"}


def with_company(name: str) -> dict[str, Any]:
    """A pod with an init container and a sidecar of its own."""
    prepare = container(
        name="prepare",
        command=["sh", "-c", "echo prepared >/shared/prepared"],
        readinessProbe=None,
        volumeMounts=[SHARED_MOUNT],
    )
    beside = container(
        name="beside",
        command=["python3", "-u", "/srv/serve.py", "--port", "9000"],
        readinessProbe={"httpGet": {"path": "/healthz", "port": 9000}, "periodSeconds": 1},
    )
    app = model("--message", "company", volumeMounts=[SHARED_MOUNT])
    return pod(name, beside, app, initContainers=[prepare], volumes=[SHARED])


def alone(name: str) -> dict[str, Any]:
    return pod(name, model("--message", "alone"), labels={"app": "alone"})


def batch(name: str) -> dict[str, Any]:
    command = ["python3", "-c", BATCH]
    after = {"chrek.io/checkpoint": "auto", "chrek.io/checkpoint-after": "file:/tmp/warm"}
    return job(name, pod("x", container(command=command, readinessProbe=None), annotations=after))


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "kinds") as made:
        locked_up = pod("x", model("--worker", securityContext=LOCKED_UP))
        made.create(
            service("stateful"),
            stateful_set("stateful", 1, pod("x", model("--message", "stateful"))),
            alone("alone-1"),
            deployment("company", 1, with_company("x")),
            deployment("locked-up", 1, locked_up),
            batch("batch-1"),
        )
        yield made


def scaled_up(team: Team, kind: str, app: str) -> tuple[str, str]:
    """Wait until the first pod is captured, have another, and see that it is restored."""
    (first,) = team.wait_for_pods(1, app)
    team.wait_for_checkpoint(first)
    team.kubectl("scale", f"{kind}/{app}", "--replicas=2")
    second = next(name for name in team.wait_for_pods(2, app) if name != first)
    check(team, first, second)
    return first, second


def check(team: Team, first: str, second: str) -> None:
    team.wait_for_restored(second)
    pods = [team.ask(first), team.ask(second)]
    assert pods[0]["token"] == pods[1]["token"]
    assert [each["host"] for each in pods] == [first, second]


def test_a_stateful_set(team: Team) -> None:
    assert scaled_up(team, "statefulset", "stateful") == ("stateful-0", "stateful-1")


def test_a_pod_of_a_stateful_set_that_comes_again_under_its_name(team: Team) -> None:
    token = team.ask("stateful-0")["token"]
    before = team.get("pod", "stateful-0")["metadata"]["uid"]
    team.kubectl("delete", "pod", "stateful-0")
    team.wait_for_pods(2, "stateful")
    assert team.get("pod", "stateful-0")["metadata"]["uid"] != before
    team.wait_for_restored("stateful-0")
    assert team.ask("stateful-0")["token"] == token


def test_a_pod_that_nobody_controls(team: Team) -> None:
    team.wait_for_pods(1, "alone")
    team.wait_for_checkpoint("alone-1")
    team.create(alone("alone-2"))
    team.wait_for_pods(2, "alone")
    check(team, "alone-1", "alone-2")


def test_a_pod_with_a_sidecar_and_an_init_container_of_its_own(team: Team) -> None:
    first, second = scaled_up(team, "deployment", "company")
    assert team.ask(second, "/read?path=/shared/prepared") == "prepared\n"
    status = team.get("pod", second)["status"]
    ended = {each["name"]: each["state"] for each in status["initContainerStatuses"]}
    assert ended["prepare"]["terminated"]["exitCode"] == 0
    path = f"/api/v1/namespaces/{team.namespace}/pods/{second}:9000/proxy/"
    beside = json.loads(team.cluster.raw(path))
    assert beside["host"] == second
    assert first != second


def test_a_user_without_root_privileges_or_a_writable_root(team: Team) -> None:
    _, second = scaled_up(team, "deployment", "locked-up")
    pid = team.ask(second)["pid"]
    lines = team.inside(second, "cat", f"/proc/{pid}/status").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    assert status["Uid"] == ["1000"] * 4
    assert int(status["CapEff"][0], 16) == int(status["CapBnd"][0], 16) == 0
    assert (status["Seccomp"], status["NoNewPrivs"]) == (["2"], ["1"])
    assert team.ask(second, "/worker")["parent"] == pid


def test_a_pod_that_was_left_alone_says_why_where_its_owner_looks(team: Team) -> None:
    # A Deployment's pods are created by a controller, which hears the webhook's warning.
    team.create(deployment("terminal", 1, pod("x", model(tty=True))))
    (name,) = team.wait_for_pods(1, "terminal")
    said = team.wait("the event", lambda: team.events(name).get("NotTakenOn"))
    assert "tty: true, and terminals cannot be checkpointed" in said


def test_a_job_goes_on_from_where_the_first_was_warm(team: Team) -> None:
    first = finished(team, "batch-1")
    assert team.condition(first)[0] == "False"
    team.create(batch("batch-2"))
    second = finished(team, "batch-2")
    team.wait_for_restored(second)
    assert team.log(second).splitlines()[-1] == team.log(first).splitlines()[-1]


def finished(team: Team, name: str) -> str:
    """Wait until a Job is done; its only pod."""
    team.wait(
        f"job {name} to be done",
        lambda: team.get("job", name)["status"].get("succeeded") == 1,
        seconds=90,
    )
    (found,) = team.get("pods", "-l", f"job-name={name}")["items"]
    return str(found["metadata"]["name"])


def test_a_job_makes_a_checkpoint_by_hand_and_a_deployment_starts_from_it(team: Team) -> None:
    by_hand = {"chrek.io/checkpoint": "by-hand"}
    once = {**by_hand, "chrek.io/after-checkpoint": "exit"}
    making = pod("x", model("--message", "by hand"), annotations=once)
    team.create(job("make", making))
    done = finished(team, "make")
    state = team.container(done)["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (0, "Completed")
    assert team.get("checkpoint", "by-hand")["status"]["phase"] == "Ready"
    assert "Checkpointed" in team.described(done)
    using = pod("x", model("--message", "by hand"), annotations=by_hand)
    team.create(deployment("using", 2, using))
    names = team.wait_for_pods(2, "using")
    for name in names:
        team.wait_for_restored(name)
    assert len({team.ask(name)["token"] for name in names}) == 1


def test_another_pod_of_a_name_that_is_taken_starts_cold_and_says_why(team: Team) -> None:
    taken = {"chrek.io/checkpoint": "by-hand"}
    other = pod("other", model("--message", "other", image=SERVER), annotations=taken)
    done = team.cluster.create(team.namespace, other)
    assert "checkpoint by-hand was made from a pod with another image" in done.err
    team.cluster.wait_for_pod(team.namespace, "other")
    assert team.ask("other")["message"] == "other"
