"""The webhook comes, is renewed, restarted and goes: pods are created all the while."""

import asyncio
import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from .client import Cluster
from .conftest import make_namespace, remove_namespace
from .installation import Installation, installed
from .podspecs import container, pod

LIFETIME_SECONDS = 36


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[str]:
    """A labelled namespace with a claim."""
    name = f"webhook-life-{uuid.uuid4().hex[:6]}"
    make_namespace(cluster, name, {"chrek": "enabled"})
    cluster.claim(name)
    yield name
    remove_namespace(cluster, name)


@pytest.fixture(scope="module")
def chrek(cluster: Cluster, team: str) -> Iterator[Installation]:
    """A release in a namespace of its own for the team's, with certificates that live shortly."""
    with installed(
        cluster,
        f"watchNamespace={team}",
        "storage.pvc.existingClaim=chrek-checkpoints",
        f"certificates.servingLifetimeSeconds={LIFETIME_SECONDS}",
        f"certificates.caLifetimeSeconds={3 * LIFETIME_SECONDS}",
        "seccomp.apply=true",
        team=team,
    ) as release:
        yield release


class Load:
    """Pods created one after the other, dry, until told to end."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self.taken_on = 0
        self.unchanged: list[str] = []

    async def run(self, ended: asyncio.Event) -> None:
        number = 0
        while not ended.is_set() and number < 5000:
            number += 1
            answer = await self._api.call_api(
                self._path,
                "POST",
                query_params=[("dryRun", "All")],
                header_params={"Content-Type": "application/json"},
                body=pod(f"web-{number}"),
                auth_settings=["BearerToken"],
                _preload_content=False,
            )
            created = json.loads(await answer.read())
            if "chrek.io/role" in created["metadata"].get("labels", {}):
                self.taken_on += 1
            else:
                warned = answer.headers.getall("Warning", [])
                self.unchanged.append(f"{number}: {warned}")
            await asyncio.sleep(0.02)


async def under_load(cluster: Cluster, namespace: str, during: Any) -> Load:
    """Do `during()` while pods are created; all of them."""
    async with cluster.api() as api:
        load, ended = Load(api, namespace), asyncio.Event()
        running = asyncio.create_task(load.run(ended))
        try:
            await asyncio.to_thread(during)
            await asyncio.sleep(1)
        finally:
            ended.set()
            await running
    return load


def certificate(cluster: Cluster, chrek: Installation) -> bytes:
    secret = cluster.get(chrek.namespace, "secret", f"{chrek.release}-webhook-tls")
    return base64.b64decode(secret["data"]["tls.crt"])


def authorities(cluster: Cluster, chrek: Installation) -> bytes:
    """What the API server trusts."""
    name = f"{chrek.release}.{chrek.namespace}"
    configuration = cluster.kubectl("get", "mutatingwebhookconfiguration", name, "-o", "json").json
    return base64.b64decode(configuration["webhooks"][0]["clientConfig"]["caBundle"])


async def test_certificates_are_renewed_and_no_pod_is_missed(
    cluster: Cluster, chrek: Installation, team: str
) -> None:
    seen: set[bytes] = set()
    trusted: set[bytes] = set()

    def three_certificates_of_two_authorities() -> bool:
        seen.add(certificate(cluster, chrek))
        trusted.update(authorities(cluster, chrek).split(b"-----END CERTIFICATE-----")[:-1])
        return len(seen) >= 3 and len({one.strip() for one in trusted}) >= 2

    load = await under_load(
        cluster,
        team,
        lambda: cluster.wait("renewals", three_certificates_of_two_authorities, seconds=240),
    )
    assert load.unchanged == []
    assert load.taken_on > 20


async def test_a_rolling_restart_misses_no_pod(
    cluster: Cluster, chrek: Installation, team: str
) -> None:
    def restart() -> None:
        cluster.kubectl("-n", chrek.namespace, "rollout", "restart", f"deployment/{chrek.webhook}")
        cluster.wait_for_rollout(chrek.namespace, f"deployment/{chrek.webhook}", seconds=180)

    load = await under_load(cluster, team, restart)
    assert load.unchanged == []
    assert load.taken_on > 20


def test_a_deleted_secret_and_an_emptied_bundle_are_made_again(
    cluster: Cluster, chrek: Installation, team: str
) -> None:
    before = certificate(cluster, chrek)
    cluster.kubectl("-n", chrek.namespace, "delete", "secret", f"{chrek.release}-webhook-tls")
    name = f"{chrek.release}.{chrek.namespace}"
    emptied = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
    cluster.kubectl(
        "patch", "mutatingwebhookconfiguration", name, "--type=json", "-p", json.dumps(emptied)
    )

    def taken_on() -> bool:
        created = cluster.kubectl(
            "-n", team, "create", "-f", "-", "--dry-run=server", "-o", "json", input=pod("web")
        ).json
        return "chrek.io/role" in created["metadata"].get("labels", {})

    cluster.wait("pods to be taken on again", taken_on, seconds=90)
    cluster.wait(
        "the Secret to be made again",
        lambda: (
            cluster.kubectl(
                "-n", chrek.namespace, "get", "secret", f"{chrek.release}-webhook-tls", code=None
            ).code
            == 0
        ),
    )
    assert certificate(cluster, chrek) != b""
    assert before != b""


def test_the_seccomp_profile_is_on_the_node_and_blocks_io_uring(
    cluster: Cluster, chrek: Installation, team: str
) -> None:
    asks = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
        "print(libc.syscall(425, 1, None), ctypes.get_errno())"  # io_uring_setup
    )
    command = ["python3", "-c", asks]
    written = pod("blocked", container(command=command, readinessProbe=None), restartPolicy="Never")
    cluster.create(team, written)
    found = cluster.wait_for_pod(team, "blocked", "phase=Succeeded")
    main = found["spec"]["containers"][0]
    assert main["securityContext"]["seccompProfile"] == {
        "type": "Localhost",
        "localhostProfile": "chrek/no-io-uring.json",
    }
    log = cluster.kubectl("-n", team, "logs", "blocked", "-c", "main").out
    assert "-1 38" in log.splitlines()  # ENOSYS


def test_a_pod_of_another_namespace_is_not_this_releases(
    cluster: Cluster, chrek: Installation, namespace: str
) -> None:
    cluster.claim(namespace)
    created = cluster.kubectl(
        "-n", namespace, "create", "-f", "-", "--dry-run=server", "-o", "json", input=pod("web")
    ).json
    assert "chrek.io/role" not in created["metadata"].get("labels", {})


def test_without_a_webhook_pods_are_created_unchanged(
    cluster: Cluster, chrek: Installation, team: str
) -> None:
    cluster.kubectl("-n", chrek.namespace, "scale", f"deployment/{chrek.webhook}", "--replicas=0")
    cluster.wait(
        "the webhook's pods to be gone",
        lambda: (
            not cluster.get(chrek.namespace, "pods", "-l", "app.kubernetes.io/component=webhook")[
                "items"
            ]
        ),
        seconds=90,
    )
    cluster.create(team, pod("alone"))
    found = cluster.wait_for_pod(team, "alone")
    assert "chrek.io/role" not in found["metadata"].get("labels", {})
    cluster.kubectl("-n", chrek.namespace, "scale", f"deployment/{chrek.webhook}", "--replicas=2")
    cluster.wait_for_rollout(chrek.namespace, f"deployment/{chrek.webhook}")
    cluster.create(team, pod("again"))
    assert "chrek.io/role" in cluster.get(team, "pod", "again")["metadata"]["labels"]
