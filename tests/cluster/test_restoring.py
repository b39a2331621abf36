"""The whole mission in one sentence: annotate a Deployment, scale it up, and the new pods are
restored, warm, each as a pod of its own."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from .client import Cluster
from .conftest import Say
from .podspecs import HEALTH, LOAD_SECONDS, deployment, model, pod, service
from .team import Team, at_work

PATIENT = {**HEALTH, "initialDelaySeconds": 40, "periodSeconds": 10}
# The liveness probe of a placeholder waits for as long, too.
HASTY = {"chrek.io/checkpoint": "auto", "chrek.io/restore-timeout": "20"}
LOGS: dict[str, Any] = {"name": "logs", "emptyDir": {}}
LOGS_MOUNT = {"name": "logs", "mountPath": "/logs"}
LIVENESS = {**HEALTH, "initialDelaySeconds": 10, "periodSeconds": 5}


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[Team]:
    with at_work(cluster, "restoring") as made:
        patient = model("--message", "patient", readinessProbe=PATIENT, livenessProbe=PATIENT)
        made.create(deployment("patient", 1, pod("patient", patient)))
        web = model("--log", "/logs/app", livenessProbe=LIVENESS, volumeMounts=[LOGS_MOUNT])
        written = pod("x", web, annotations=HASTY, volumes=[LOGS], terminationGracePeriodSeconds=5)
        made.create(service("web"), deployment("web", 1, written))
        yield made


@pytest.fixture(scope="module")
def source(team: Team) -> dict[str, Any]:
    """What the first pod says of itself, once it is captured."""
    (name,) = team.wait_for_pods(1)
    before: dict[str, Any] = team.ask(name)
    team.wait_for_checkpoint(name)
    return before


@pytest.fixture(scope="module")
def restored(team: Team, source: dict[str, Any]) -> list[str]:
    """The two pods that a scale-up brings."""
    team.kubectl("scale", "deployment/web", "--replicas=3")
    return [name for name in team.wait_for_pods(3) if name != source["host"]]


def from_start_to_first_answer(team: Team, name: str) -> float:
    """Seconds, as measured in the pod; whoever asks first are its probes, every second."""
    program = (
        "import time; fields = open('/proc/1/stat').read().rpartition(')')[2].split();"
        "up = float(open('/proc/uptime').read().split()[0]);"
        "print(time.time() - up + int(fields[19]) / 100)"
    )
    started = float(team.inside(name, "python3", "-c", program))
    return float(team.ask(name)["first_answer_at"]) - started


def test_the_first_pod_starts_cold_is_captured_and_still_serves(
    team: Team, source: dict[str, Any]
) -> None:
    name = source["host"]
    team.wait_for_reason(name, False, "NoCheckpoint")
    said = team.wait(
        "the pod to say that it was captured", lambda: team.events(name).get("Checkpointed")
    )
    assert re.search(r"\d+ MiB; the pod stood still for \d", said)
    after = team.ask(name)
    assert (after["token"], after["pid"]) == (source["token"], source["pid"])
    assert team.ask(name, "/count") == 1  # after the capture
    assert team.container(name)["restartCount"] == 0
    table = team.kubectl("get", "checkpoints").out
    assert re.search(r"Ready +[\d.]+ MiB", table)


def test_a_scale_up_is_restored_and_says_so(
    team: Team,
    source: dict[str, Any],
    restored: list[str],
    say: Say,
) -> None:
    pods = [team.ask(name) for name in (source["host"], *restored)]
    assert {each["token"] for each in pods} == {source["token"]}
    assert len({team.ask(each["host"], "/hash") for each in pods}) == 1
    for name in restored:
        team.wait_for_restored(name)
        assert team.ask(name)["counted"] == 0  # as at the capture
    assert team.container(restored[0])["restartCount"] == 0
    cold, *warm = [from_start_to_first_answer(team, each["host"]) for each in pods]
    say(
        f"a container's start to its first answer: cold {cold:.1f} s (of which it loads "
        f"{LOAD_SECONDS} s), restored {' and '.join(f'{each:.1f} s' for each in warm)} (asked "
        f"every second); {team.events(restored[0])['Restored']}"
    )
    checkpoint = team.checkpoint(restored[0])
    assert checkpoint["status"]["restores"] >= 2
    assert checkpoint["status"]["lastRestoreSeconds"] > 0


def test_each_has_its_own_name_and_address(
    team: Team, source: dict[str, Any], restored: list[str]
) -> None:
    for name in (source["host"], *restored):
        about = team.ask(name)
        assert about["host"] == about["etc_hostname"] == name
        assert about["address"] == team.get("pod", name)["status"]["podIP"]


def test_all_answer_behind_the_service(
    team: Team, source: dict[str, Any], restored: list[str]
) -> None:
    program = (
        "import json, sys, urllib.request as u; print(json.dumps([json.load(u.urlopen("
        "f'http://{sys.argv[1]}/', timeout=5))['host'] for _ in range(60)]))"
    )
    address = team.get("service", "web")["spec"]["clusterIP"]
    answered = json.loads(team.inside(restored[0], "python3", "-c", program, address))
    assert set(answered) == {source["host"], *restored}


def test_logs_and_exec_work(team: Team, restored: list[str]) -> None:
    name = restored[0]
    team.ask(name, "/say?words=as+ever")
    assert "as ever" in team.log(name).splitlines()
    assert team.inside(name, "hostname").strip() == name
    assert str(team.ask(name)["pid"]) in team.inside(name, "ls", "/proc").split()


def test_a_log_file_in_an_empty_directory_goes_on(team: Team, restored: list[str]) -> None:
    for name in restored:
        team.ask(name, f"/say?words=in+{name}")
    for name in restored:
        lines = team.ask(name, "/log").splitlines()
        assert (lines[0], lines[-1]) == ("loaded", f"in {name}")
        assert len([line for line in lines if line.startswith("in ")]) == 1


def test_readiness_and_liveness_probes_see_the_restored_process(
    team: Team, restored: list[str]
) -> None:
    name = restored[1]
    pid = str(team.ask(name)["pid"])
    stop = "import os, sys; os.kill(int(sys.argv[1]), int(sys.argv[2]))"
    team.inside(name, "python3", "-c", stop, pid, "19")  # SIGSTOP
    team.wait("a pod that hangs not to be Ready", lambda: not team.is_ready(name))
    team.wait_for_restart(name, seconds=90)
    assert team.container(name)["lastState"]["terminated"]["exitCode"] == 137
    team.wait("it to be restored again", lambda: team.times(name, "Restored") == 2)


def test_an_autoscalers_change_is_restored(team: Team, restored: list[str]) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 4, "maxReplicas": 5}
    kind = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"}
    team.create({**kind, "metadata": {"name": "web"}, "spec": spec})
    before = team.pods()
    (new,) = set(team.wait_for_pods(4)) - set(before)
    team.wait_for_restored(new)
    assert restored[0] in before


def test_a_long_initial_delay_of_the_probes_does_not_hold_a_restored_pod_up(
    team: Team, say: Say
) -> None:
    (first,) = team.wait_for_pods(1, "patient")
    team.wait_for_checkpoint(first)
    team.kubectl("scale", "deployment/patient", "--replicas=2")
    second = next(name for name in team.wait_for_pods(2, "patient") if name != first)
    team.wait_for_restored(second)
    assert team.ask(second)["token"] == team.ask(first)["token"]
    took = [from_start_to_ready(team, name) for name in (first, second)]
    say(f"with a delay of 40 s, Ready after {took[0]:.0f} s cold, {took[1]:.0f} s restored")
    assert took[0] >= 40
    assert took[1] < 40


def from_start_to_ready(team: Team, name: str) -> float:
    """Whole seconds, as the pod's status tells them."""
    conditions = team.get("pod", name)["status"]["conditions"]
    ready = next(each["lastTransitionTime"] for each in conditions if each["type"] == "Ready")
    started = team.container(name)["state"]["running"]["startedAt"]
    return (datetime.fromisoformat(ready) - datetime.fromisoformat(started)).total_seconds()
