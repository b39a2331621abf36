"""The cluster itself: what every other test here stands on."""

import time
import urllib.request

import pytest

from . import node as nodes
from . import supervision
from .client import Cluster
from .errors import ClusterError
from .plain_pods import SERVER, once, output_of, pod, service
from .programs import Program

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def test_a_pod_runs_and_its_log_can_be_read_and_a_command_run_in_it(
    cluster: Cluster, namespace: str
) -> None:
    cluster.create(namespace, pod("server"))
    cluster.wait_for_pod(namespace, "server")
    cluster.wait(
        "the server's first line",
        lambda: "listening on 8000" in cluster.kubectl("-n", namespace, "logs", "server").out,
    )
    command = ["sh", "-c", "echo from $HOSTNAME"]
    ran = cluster.kubectl("-n", namespace, "exec", "server", "--", *command)
    assert ran.out == "from server\n"


def test_a_service_answers_through_the_api_server_and_from_another_pod(
    cluster: Cluster, namespace: str
) -> None:
    probe = {"httpGet": {"path": "/healthz", "port": 8000}, "periodSeconds": 1}
    cluster.create(namespace, pod("web", readinessProbe=probe), service("web"))
    cluster.wait_for_pod(namespace, "web")
    cluster.wait("an endpoint", lambda: cluster.get(namespace, "endpoints", "web").get("subsets"))
    assert '"message": "hello"' in cluster.fetch(namespace, "web")

    address = cluster.get(namespace, "service", "web")["spec"]["clusterIP"]
    ask = f"import urllib.request as r; print(r.urlopen('http://{address}/', timeout=9).read())"
    cluster.create(namespace, once("asker", ask))
    assert '"message": "hello"' in output_of(cluster, namespace, "asker")


def test_a_service_answers_on_the_machine_that_runs_the_node(
    cluster: Cluster, namespace: str
) -> None:
    if not cluster.own:
        pytest.skip("another cluster's Services are not reached from here")
    cluster.create(namespace, pod("web"), service("web"))
    cluster.wait_for_pod(namespace, "web")
    address = cluster.get(namespace, "service", "web")["spec"]["clusterIP"]

    def answer() -> bytes:
        try:
            with _open(f"http://{address}/", timeout=5) as response:
                return bytes(response.read())
        except OSError:
            return b""

    assert b"hello" in cluster.wait("an answer from the Service", answer)


def test_an_exit_code_is_the_pods(cluster: Cluster, namespace: str) -> None:
    cluster.create(namespace, once("fails", "raise SystemExit(7)"))
    ended = cluster.wait_for_pod(namespace, "fails", "phase=Failed")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7


def test_a_deployment_is_rolled_out_and_scaled(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "deployment", "web", f"--image={SERVER}")
    cluster.wait_for_rollout(namespace, "deployment/web")
    cluster.kubectl("-n", namespace, "scale", "deployment/web", "--replicas=2")
    cluster.wait_for_rollout(namespace, "deployment/web")
    assert cluster.get(namespace, "deployment", "web")["status"]["readyReplicas"] == 2


def test_two_pods_share_a_claims_volume_which_is_a_directory_here(
    cluster: Cluster, namespace: str
) -> None:
    folder = cluster.claim(namespace)
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "chrek-checkpoints"}}
    writer = once("writer", "open('/data/word', 'w').write('kept')")
    reader = once("reader", "print(open('/data/word').read())")
    for made in (writer, reader):
        spec = made["spec"]
        spec["volumes"] = [volume]  # type: ignore[index]
        spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]  # type: ignore[index]
    cluster.create(namespace, writer)
    cluster.wait_for_pod(namespace, "writer", "phase=Succeeded")
    cluster.create(namespace, reader)
    assert output_of(cluster, namespace, "reader") == "kept\n"
    if cluster.own:
        assert (folder / "word").read_text() == "kept"


def test_nothing_leaves_the_node(cluster: Cluster, namespace: str) -> None:
    if not cluster.own:
        pytest.skip("another cluster may reach what it likes")
    dial = (
        "import socket, time\n"
        "try: socket.create_connection(('198.51.100.1', 80), timeout=30)\n"
        "except OSError as error: print(error.strerror)"
    )
    cluster.create(namespace, once("dials", dial))
    assert "route to host" in output_of(cluster, namespace, "dials")


def test_a_program_that_fails_is_named_with_the_end_of_its_log(cluster: Cluster) -> None:
    node = nodes.find()
    if not node:
        pytest.skip("another cluster's programs are not ours to start")
    broken = Program("broken", ["sh", "-c", "echo no such disk; exit 3"])
    supervision.start(node, broken)
    time.sleep(0.2)
    with pytest.raises(ClusterError, match=r"(?s)broken ended; .*broken\.log.*no such disk"):
        supervision.wait_until_well(node, broken)
