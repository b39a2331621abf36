"""Annotated pods are rewritten by a real API server's call; until there is a checkpoint, and an
agent to restore it, they come up cold by themselves, as they would have without chrek."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from .client import RESTRICTED, Cluster, Done
from .conftest import make_namespace, remove_namespace
from .installation import Installation, installed
from .podspecs import (
    COMMAND,
    HEALTH,
    WITH_ENTRYPOINT,
    WITH_INIT,
    container,
    deployment,
    job,
    pod,
)

COLD = "starts cold"


@pytest.fixture(scope="module", autouse=True)
def chrek(cluster: Cluster) -> Iterator[Installation]:
    """One release for every labelled namespace, with agents nowhere: admission is all there is."""
    any_team = f"admission-{uuid.uuid4().hex[:6]}"
    make_namespace(cluster, any_team, {"chrek": "enabled"})
    values = ["rbac.namespaced=false", "agent.nodeSelector.chrek-test/none=here"]
    with installed(cluster, *values, team=any_team) as release:
        yield release
    remove_namespace(cluster, any_team)


@pytest.fixture
def team(cluster: Cluster, namespace: str) -> str:
    """A labelled namespace with a claim for checkpoints."""
    cluster.claim(namespace)
    return namespace


def main(written: dict[str, Any]) -> dict[str, Any]:
    """The container that chrek chooses in a pod of podspecs."""
    return next(each for each in written["spec"]["containers"] if each["name"] == "main")


def is_taken_on(written: dict[str, Any]) -> bool:
    return "chrek.io/role" in written["metadata"].get("labels", {})


def inside(cluster: Cluster, namespace: str, name: str, *command: str) -> str:
    return cluster.kubectl("-n", namespace, "exec", name, "-c", "main", "--", *command).out


def answer(cluster: Cluster, namespace: str, name: str, path: str = "/") -> Any:
    """What the server in a pod says to a client in the pod."""
    url = f"http://127.0.0.1:8000{path}"
    program = f"import urllib.request as u; print(u.urlopen('{url}').read().decode())"
    return json.loads(inside(cluster, namespace, name, "python3", "-c", program))


def ready_checkpoint(cluster: Cluster, namespace: str, name: str, **status: Any) -> None:
    """A Checkpoint as the agent will write it."""
    kind = {"apiVersion": "chrek.io/v1alpha1", "kind": "Checkpoint"}
    cluster.create(namespace, {**kind, "metadata": {"name": name}, "spec": {}})
    path = f"/apis/chrek.io/v1alpha1/namespaces/{namespace}/checkpoints/{name}/status"
    found = json.loads(cluster.kubectl("get", "--raw", path).out)
    found["status"] = status
    cluster.kubectl("replace", "--raw", path, "-f", "-", input=found)


def test_an_annotated_pod_is_taken_on_and_comes_up_cold_by_itself(
    cluster: Cluster, team: str
) -> None:
    done = cluster.create(team, pod("web", container(env=[{"name": "MESSAGE", "value": "hi"}])))
    assert "Warning" not in done.err
    found = cluster.wait_for_pod(team, "web")
    assert found["metadata"]["labels"]["chrek.io/role"] == "source"
    assert main(found)["command"][:5] == ["/chrek/chrek-init", "wait", "--timeout", "2", "--"]
    assert main(found)["command"][5:] == COMMAND
    assert inside(cluster, team, "web", "cat", "/proc/1/comm").strip() == "chrek:running"
    about = answer(cluster, team, "web")
    assert about["message"] == "hi"
    assert about["pid"] > 1000
    log = cluster.kubectl("-n", team, "logs", "web", "-c", "main").out
    assert "listening on 8000" in log
    assert "no word from the node agent" in log
    assert "/checkpoints" not in inside(cluster, team, "web", "cat", "/proc/self/mountinfo")


def test_without_label_or_annotation_nothing_changes(cluster: Cluster, team: str) -> None:
    cluster.create(team, pod("plain", annotations={}))
    cluster.kubectl("label", "namespace", team, "chrek-")
    # The API server learns of the label by a watch of its own.
    cluster.wait(
        "pods of a namespace without the label to stay as they are",
        lambda: not is_taken_on(dry_run(cluster, team, pod("probe"))[0]),
    )
    for name in ("plain",):
        found = cluster.get(team, "pod", name)
        assert not is_taken_on(found)
        assert main(found)["command"] == COMMAND
        assert "initContainers" not in found["spec"]


def dry_run(
    cluster: Cluster, namespace: str, written: dict[str, Any], *options: str
) -> tuple[dict[str, Any], Done]:
    """What the API server would create, and what kubectl says with it."""
    done = cluster.kubectl(
        "-n", namespace, "create", "-f", "-", "--dry-run=server", "-o", "json", *options,
        input=written,
    )  # fmt: skip
    return done.json, done


def test_pods_of_a_deployment_share_one_checkpoint(cluster: Cluster, team: str) -> None:
    cluster.create(team, deployment("web", 2, pod("web")))
    cluster.wait_for_rollout(team, "deployment/web")
    found = cluster.get(team, "pods", "-l", "app=web")["items"]
    ids = {each["metadata"]["annotations"]["chrek.io/checkpoint-id"] for each in found}
    assert len(found) == 2
    assert len(ids) == 1
    assert len(ids.pop()) == 16


def test_a_job_ends_with_its_own_exit_code(cluster: Cluster, team: str) -> None:
    command = ["python3", "-c", "import sys; print('done'); sys.exit(3)"]
    annotations = {"chrek.io/checkpoint": "auto", "chrek.io/checkpoint-after": "1"}
    written = pod("x", container(command=command, readinessProbe=None), annotations=annotations)
    cluster.create(team, job("batch", written))

    def ended() -> Any:
        pods = cluster.get(team, "pods", "-l", "job-name=batch")["items"]
        return pods and pods[0]["status"]["phase"] == "Failed" and pods[0]

    found = cluster.wait("the job's pod to end", ended)
    assert is_taken_on(found)
    state = found["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["exitCode"] == 3
    assert "done" in cluster.kubectl("-n", team, "logs", "job/batch").out


def test_sigterm_reaches_the_app(cluster: Cluster, team: str) -> None:
    cluster.create(team, pod("web", restartPolicy="Never"))
    cluster.wait_for_pod(team, "web")
    inside(cluster, team, "web", "python3", "-c", "import os; os.kill(1, 15)")
    found = cluster.wait_for_pod(team, "web", "phase=Succeeded")
    assert found["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0


def test_a_crashed_app_is_restarted_and_not_kept_waiting(cluster: Cluster, team: str) -> None:
    identity = dry_run(cluster, team, pod("x"))[0]["metadata"]["annotations"]["chrek.io/identity"]
    ready_checkpoint(cluster, team, identity, phase="Ready", coldStartSeconds=4, identity=identity)
    placeholder(cluster, team, pod("web"))
    cluster.wait_for_pod(team, "web")
    answer(cluster, team, "web", "/exit?code=7")

    def restarted() -> bool:
        status = cluster.get(team, "pod", "web")["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and status["ready"]

    cluster.wait("the restart", restarted)
    status = cluster.get(team, "pod", "web")["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 7
    log = cluster.kubectl("-n", team, "logs", "web", "-c", "main").out
    assert "has waited in vain before" in log


def placeholder(cluster: Cluster, namespace: str, written: dict[str, Any]) -> dict[str, Any]:
    """Create a pod once the webhook has seen its checkpoint."""
    cluster.wait(
        "the webhook to know the checkpoint",
        lambda: (
            dry_run(cluster, namespace, written)[0]["metadata"]["labels"].get("chrek.io/role")
            == "placeholder"
        ),
    )
    cluster.create(namespace, written)
    found: dict[str, Any] = cluster.get(namespace, "pod", written["metadata"]["name"])
    return found


def test_a_pod_with_a_checkpoint_is_a_placeholder_with_quick_probes(
    cluster: Cluster, team: str
) -> None:
    slow = {**HEALTH, "initialDelaySeconds": 40, "periodSeconds": 10, "failureThreshold": 3}
    written = pod("web", container(readinessProbe=slow, startupProbe=slow, livenessProbe=slow))
    identity = dry_run(cluster, team, written)[0]["metadata"]["annotations"]["chrek.io/identity"]
    ready_checkpoint(cluster, team, identity, phase="Ready", coldStartSeconds=4.2)
    found = placeholder(cluster, team, written)
    probes = main(found)
    assert probes["command"][:5] == ["/chrek/chrek-init", "wait", "--timeout", "5", "--"]
    assert "initialDelaySeconds" not in probes["readinessProbe"]
    assert probes["readinessProbe"]["periodSeconds"] == 1
    assert probes["readinessProbe"]["failureThreshold"] == 30
    assert "initialDelaySeconds" not in probes["startupProbe"]
    assert probes["startupProbe"]["failureThreshold"] == 40 + 30 + 5
    assert probes["livenessProbe"]["initialDelaySeconds"] == 45
    # No agent restores it: it starts cold after its timeout, and is Ready long before 40 s.
    cluster.wait_for_pod(team, "web")
    assert "no word from the node agent" in cluster.kubectl("-n", team, "logs", "web").out


def test_a_pod_without_probes_is_not_ready_before_its_command_runs(
    cluster: Cluster, team: str
) -> None:
    written = pod("web", container(readinessProbe=None))
    _, done = dry_run(cluster, team, written)
    assert "no startup or readiness probe" in done.err
    ready_checkpoint(cluster, team, "named", phase="Ready", coldStartSeconds=8)
    written["metadata"]["annotations"] = {"chrek.io/checkpoint": "named"}
    placeholder(cluster, team, written)

    def ran() -> bool:
        status = cluster.get(team, "pod", "web")["status"].get("containerStatuses") or [{}]
        return "running" in status[0].get("state", {})

    cluster.wait("the container to run", ran)
    state = inside(cluster, team, "web", "cat", "/proc/1/comm").strip()
    ready = cluster.get(team, "pod", "web")["status"]["containerStatuses"][0]["ready"]
    assert (state, ready) == ("chrek:waiting", False)
    cluster.wait_for_pod(team, "web")
    assert inside(cluster, team, "web", "cat", "/proc/1/comm").strip() == "chrek:running"


def test_a_name_that_belongs_to_another_pod_starts_cold_with_a_warning(
    cluster: Cluster, team: str
) -> None:
    ready_checkpoint(cluster, team, "mine", phase="Ready", identity="0" * 16)
    written = pod("web", annotations={"chrek.io/checkpoint": "mine"})
    cluster.wait(
        "the webhook to know the checkpoint",
        lambda: COLD in dry_run(cluster, team, written)[1].err,
    )
    found, done = dry_run(cluster, team, written)
    assert not is_taken_on(found)
    assert "checkpoint mine was made from a pod with another image" in done.err


def test_what_an_image_runs_is_taken_from_what_was_learned(cluster: Cluster, team: str) -> None:
    args = ["--port", "8000", "--message", "$(WHO) from args"]
    env = [{"name": "WHO", "value": "it"}]
    written = pod("web", container(image=WITH_ENTRYPOINT, command=None, args=args, env=env))
    found, done = dry_run(cluster, team, written)
    assert not is_taken_on(found)
    assert "container main has no command" in done.err
    learned = {"image": WITH_ENTRYPOINT, "entrypoint": COMMAND, "cmd": ["--port", "8000"]}
    ready_checkpoint(cluster, team, "teacher", phase="Pending", images=[learned])
    cluster.wait(
        "the webhook to have learned",
        lambda: is_taken_on(dry_run(cluster, team, written)[0]),
    )
    cluster.create(team, written)
    found = cluster.wait_for_pod(team, "web")
    assert main(found)["command"][5:] == COMMAND
    assert main(found)["args"] == args
    assert answer(cluster, team, "web")["message"] == "it from args"


def test_a_shell_command_and_its_variables_keep_their_meaning(cluster: Cluster, team: str) -> None:
    script = "exec python3 -u /srv/serve.py --message \"$(WHO) $$(WHO) ${WHO} $(echo 'a  b')\""
    written = pod(
        "web",
        container(command=["/bin/sh", "-c", script], env=[{"name": "WHO", "value": "me"}]),
    )
    plain = pod("plain", *written["spec"]["containers"], annotations={})
    cluster.create(team, written, plain)
    for name in ("web", "plain"):
        cluster.wait_for_pod(team, name)
    assert is_taken_on(cluster.get(team, "pod", "web"))
    said = [answer(cluster, team, name)["message"] for name in ("web", "plain")]
    assert said[0] == said[1]


def test_a_checkpoint_image_takes_the_place_of_the_image(cluster: Cluster, team: str) -> None:
    annotations = {"chrek.io/checkpoint": "auto", "chrek.io/checkpoint-image": WITH_INIT}
    cluster.create(team, pod("web", annotations=annotations))
    found = cluster.wait_for_pod(team, "web")
    assert main(found)["image"] == WITH_INIT
    assert main(found)["command"][0] == "/opt/chrek/chrek-init"
    assert "initContainers" not in found["spec"]
    mounts = inside(cluster, team, "web", "cat", "/proc/self/mountinfo").splitlines()
    claim = next(line for line in mounts if line.split()[4] == "/checkpoints")
    assert claim.split()[5].split(",")[0] == "ro"
    assert answer(cluster, team, "web")["pid"] > 1000


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"containers": [container(tty=True, stdin=True)]}, "has tty: true"),
        ({"hostPID": True}, "hostPID"),
        ({"shareProcessNamespace": True}, "shareProcessNamespace"),
        (
            {"containers": [container(lifecycle={"postStart": {"exec": {"command": ["true"]}}})]},
            "lifecycle.postStart",
        ),
        ({"containers": [container(command=["/sbin/init"])]}, "must be PID 1 itself"),
    ],
    ids=["tty", "hostPID", "shareProcessNamespace", "postStart", "init-system"],
)
def test_what_cannot_be_handled_is_created_unchanged_and_kubectl_says_why(
    cluster: Cluster, team: str, changes: dict[str, Any], sentence: str
) -> None:
    written = pod("web")
    written["spec"] |= changes
    found, done = dry_run(cluster, team, written)
    assert not is_taken_on(found)
    assert main(found)["command"] == main(written)["command"]
    assert sentence in done.err
    assert COLD in done.err


def test_a_pod_without_a_claim_runs_and_does_not_hang(cluster: Cluster, namespace: str) -> None:
    done = cluster.create(namespace, pod("web"))
    assert "there is no PersistentVolumeClaim chrek-checkpoints" in done.err
    assert not is_taken_on(cluster.wait_for_pod(namespace, "web"))


@pytest.mark.parametrize(
    ("modes", "sentence"),
    [(["ReadWriteOnce"], "not ReadWriteMany"), (["ReadOnlyMany"], "not ReadWriteMany")],
)
def test_a_claim_that_would_pin_or_hang_pods_is_not_used(
    cluster: Cluster, namespace: str, modes: list[str], sentence: str
) -> None:
    cluster.claim(namespace, modes=modes)
    found, done = dry_run(cluster, namespace, pod("web"))
    assert not is_taken_on(found)
    assert sentence in done.err


def test_a_claim_that_is_not_bound_is_not_used(cluster: Cluster, namespace: str) -> None:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "chrek-test",
    }
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    cluster.create(namespace, {**kind, "metadata": {"name": "chrek-checkpoints"}, "spec": spec})
    found, done = dry_run(cluster, namespace, pod("web"))
    assert not is_taken_on(found)
    assert "is Pending" in done.err


def test_a_namespace_sets_defaults(cluster: Cluster, namespace: str) -> None:
    cluster.claim(namespace, "elsewhere")
    cluster.kubectl("annotate", "namespace", namespace, "chrek.io/claim=elsewhere")
    cluster.wait(
        "the webhook to know the default",
        lambda: is_taken_on(dry_run(cluster, namespace, pod("web"))[0]),
    )
    found, _ = dry_run(cluster, namespace, pod("web"))
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in found["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == ["elsewhere"]


def test_a_user_without_root_and_a_read_only_root(cluster: Cluster, team: str) -> None:
    context = {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    cluster.create(team, pod("web", container(securityContext=context)))
    cluster.wait_for_pod(team, "web")
    assert inside(cluster, team, "web", "id", "-u").strip() == "1000"
    assert inside(cluster, team, "web", "cat", "/proc/1/comm").strip() == "chrek:running"


def test_a_restricted_user_can_create_what_he_could_without_chrek(
    cluster: Cluster, team: str
) -> None:
    if not cluster.own:
        pytest.skip("the restricted user and his policy are of the harness's own cluster")
    context = {
        "runAsUser": 1000,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    of_pod = {"seccompProfile": {"type": "RuntimeDefault"}}
    written = pod("web", container(securityContext=context), securityContext=of_pod)
    cluster.kubectl("-n", team, RESTRICTED, "create", "-f", "-", input=written)
    assert is_taken_on(cluster.wait_for_pod(team, "web"))


def test_a_quota_and_a_limit_range_let_pods_through_as_without_chrek(
    cluster: Cluster, team: str
) -> None:
    hard = {
        "requests.cpu": "300m", "limits.cpu": "300m",
        "requests.memory": "200Mi", "limits.memory": "200Mi", "pods": "3",
    }  # fmt: skip
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}}
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}}
    bounds = {
        "type": "Container",
        "default": {"cpu": "100m", "memory": "64Mi"},
        "defaultRequest": {"cpu": "50m", "memory": "64Mi"},
        "min": {"cpu": "10m", "memory": "32Mi"},
        "max": {"cpu": "250m", "memory": "128Mi"},
    }
    cluster.create(
        team, {**quota, "spec": {"hard": hard}}, {**limits, "spec": {"limits": [bounds]}}
    )
    asked = {"cpu": "200m", "memory": "128Mi"}
    exact = pod("exact", container(resources={"requests": asked, "limits": asked}))
    cluster.wait(
        "the quota to be counted",
        lambda: "used" in cluster.get(team, "resourcequota", "quota").get("status", {}),
    )
    cluster.create(team, exact, pod("defaulted"))
    for name, quality in (("exact", "Guaranteed"), ("defaulted", "Burstable")):
        found = cluster.wait_for_pod(team, name)
        assert is_taken_on(found)
        assert found["status"]["qosClass"] == quality
    used = cluster.get(team, "resourcequota", "quota")["status"]["used"]
    assert used["limits.cpu"] == "300m"  # of the containers, and nothing for the init containers


def test_a_copy_of_a_live_pod_with_another_command_has_another_identity(
    cluster: Cluster, team: str
) -> None:
    live, _ = dry_run(cluster, team, pod("web"))
    copied = {
        **live,
        "metadata": {
            key: live["metadata"][key] for key in ("name", "annotations", "labels", "namespace")
        },
    }
    same, _ = dry_run(cluster, team, copied)
    assert same["metadata"]["annotations"] == live["metadata"]["annotations"]
    assert main(same) == main(live)
    copied["spec"]["containers"][0]["command"].append("--message=other")
    other, _ = dry_run(cluster, team, copied)
    key = "chrek.io/checkpoint-id"
    assert other["metadata"]["annotations"][key] != live["metadata"]["annotations"][key]
    assert main(other)["command"].count("wait") == 1


def test_nonsense_in_an_annotation_is_said_and_harms_nothing(cluster: Cluster, team: str) -> None:
    annotations = {
        "chrek.io/checkpoint": "auto",
        "chrek.io/restore-timeout": "soon\u0007\U0001f642",
    }
    done = cluster.create(team, pod("web", annotations=annotations))
    assert "chrek.io/restore-timeout is" in done.err
    assert not is_taken_on(cluster.wait_for_pod(team, "web"))


def test_the_webhook_counts_what_it_did(cluster: Cluster, chrek: Installation, team: str) -> None:
    dry_run(cluster, team, pod("web"))
    dry_run(cluster, team, pod("named", hostPID=True))
    pods = cluster.get(chrek.namespace, "pods", "-l", "app.kubernetes.io/component=webhook")[
        "items"
    ]
    pages = [
        cluster.kubectl(
            "get", "--raw",
            f"/api/v1/namespaces/{chrek.namespace}/pods/{each['metadata']['name']}:8080/proxy/metrics",
        ).out
        for each in pods
    ]  # fmt: skip
    assert len(pages) == 2
    assert any('chrek_admission_requests_total{outcome="source"}' in page for page in pages)
    assert all("chrek_certificate_expiry_timestamp_seconds" in page for page in pages)
    log = chrek.log()
    assert "pod=named outcome=unchanged" in log
    assert "hostPID gives the container no PID namespace" in log
