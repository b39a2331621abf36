"""Certificates on a real API server: with the chart's rights, by two replicas, and called by it."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes_asyncio import client

from certs import reading
from certs.clock import SystemClock
from certs.cluster import ClusterSecrets, ClusterWebhookConfigurations
from certs.errors import CertsError
from certs.keeper import Keeper
from certs.pair import KEYS
from certs.serving import Serving
from certs.settings import Settings, service_names

from .client import Cluster
from .layout import HOST_ADDRESS, REPOSITORY

REPLICAS = ("one", "two")
SECRET = "tls"
FOREIGN = {"labels": {"theirs": "yes"}, "annotations": {"theirs": "too"}}
LIFETIME_SECONDS = 15


@dataclass(frozen=True)
class Place:
    """A namespace with an account that has the rights of docs/certificates.md and no other."""

    cluster: Cluster
    namespace: str
    token: str

    @property
    def configuration(self) -> str:
        return f"chrek.{self.namespace}"

    def secret(self) -> dict[str, bytes]:
        found = self.cluster.kubectl(
            "-n", self.namespace, "get", "secret", SECRET, "-o", "json", code=None
        )
        encoded = (found.json.get("data") or {}) if found.code == 0 else {}
        return {key: base64.b64decode(value) for key, value in encoded.items()}

    def bundles(self) -> list[bytes]:
        found = self.cluster.kubectl(
            "get", "mutatingwebhookconfiguration", self.configuration, "-o", "json"
        ).json
        return [
            base64.b64decode(webhook["clientConfig"].get("caBundle", ""))
            for webhook in found["webhooks"]
        ]

    def right(self) -> bool:
        """Whether the Secret is whole and every webhook's caBundle says the same."""
        secret = self.secret()
        return all(secret.get(key) for key in KEYS) and self.bundles() == [secret["ca.crt"]] * 2

    @asynccontextmanager
    async def api(self) -> AsyncIterator[client.ApiClient]:
        async with self.cluster.api() as admin:
            settings = client.Configuration(host=admin.configuration.host)
            settings.ssl_ca_cert = admin.configuration.ssl_ca_cert
            settings.verify_ssl = admin.configuration.verify_ssl
            settings.api_key["BearerToken"] = f"Bearer {self.token}"
            async with client.ApiClient(settings) as api:
                yield api
        await asyncio.sleep(0.3)  # aiohttp does not wait until TLS connections have said goodbye


@pytest.fixture
def place(cluster: Cluster, namespace: str) -> Iterator[Place]:
    name = f"chrek.{namespace}"
    cluster.kubectl("create", "-f", "-", input=webhooks(name, namespace))
    try:
        cluster.create(namespace, *objects(namespace))
        cluster.kubectl("create", "-f", "-", input=cluster_rights(name, namespace))
        token = cluster.kubectl("-n", namespace, "create", "token", "keeper").out.strip()
        yield Place(cluster, namespace, token)
    finally:
        for kind in ("mutatingwebhookconfiguration", "clusterrole", "clusterrolebinding"):
            cluster.kubectl("delete", kind, name, "--ignore-not-found")


def webhooks(name: str, namespace: str) -> dict[str, Any]:
    """One for each replica; a call that fails makes the creation of a ConfigMap fail."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": f"{replica}.chrek.io",
                "clientConfig": {
                    "service": {"name": replica, "namespace": namespace, "path": "/mutate"}
                },
                "rules": [
                    {
                        "operations": ["CREATE"],
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["configmaps"],
                    }
                ],
                "objectSelector": {"matchLabels": {"certificates": namespace}},
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 5,
            }
            for replica in REPLICAS
        ],
    }


def objects(namespace: str) -> list[dict[str, Any]]:
    verbs = ["get", "list", "watch", "update", "patch"]
    rules = [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": verbs},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "keeper", "namespace": namespace}
    empty = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "keeper"}},
        {**empty, "metadata": {"name": SECRET, **FOREIGN}},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": "keeper"},
            "rules": rules,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "keeper"},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "keeper"},
            "subjects": [subject],
        },
    ]


def cluster_rights(name: str, namespace: str) -> dict[str, Any]:
    rbac = "rbac.authorization.k8s.io"
    rule = {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "resourceNames": [name],
        "verbs": ["get", "list", "watch", "patch", "update"],
    }
    subject = {"kind": "ServiceAccount", "name": "keeper", "namespace": namespace}
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole"}
    binding = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding"}
    reference = {"apiGroup": rbac, "kind": "ClusterRole", "name": name}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {**role, "metadata": {"name": name}, "rules": [rule]},
            {**binding, "metadata": {"name": name}, "roleRef": reference, "subjects": [subject]},
        ],
    }


class Replica:
    """A keeper, and an HTTPS server that serves what it is told and admits everything."""

    def __init__(self, place: Place, name: str, lifetime_seconds: float = 86400) -> None:
        self.place, self.name = place, name
        self.serving = Serving()
        self.served: list[bytes] = []
        self.calls = 0
        self.port = 0
        names = [each for replica in REPLICAS for each in service_names(replica, place.namespace)]
        self.settings = Settings(
            dns_names=tuple(names),
            serving_lifetime_seconds=lifetime_seconds,
            authority_lifetime_seconds=3 * lifetime_seconds,
        )

    def take(self, pair: Any) -> None:
        self.serving.use(pair)
        self.served.append(pair.certificate_pem)

    async def mutate(self, request: web.Request) -> web.Response:
        self.calls += 1
        review = await request.json()
        answer = {"uid": review["request"]["uid"], "allowed": True}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        return web.json_response(body, headers={"Connection": "close"})  # a handshake for each

    @asynccontextmanager
    async def running(self, address: str = "127.0.0.1") -> AsyncIterator["Replica"]:
        app = web.Application()
        app.router.add_post("/mutate", self.mutate)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        async with self.place.api() as api:
            keeper = Keeper(
                self.settings,
                ClusterSecrets(api, self.place.namespace, SECRET),
                ClusterWebhookConfigurations(api, self.place.configuration),
                SystemClock(),
                self.take,
            )
            task = asyncio.create_task(keeper.run())
            try:
                site = web.TCPSite(runner, address, 0, ssl_context=self.serving.context)
                await site.start()
                self.port = runner.addresses[0][1]
                yield self
                assert not task.done(), "nothing ends a keeper"
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                await runner.cleanup()


async def until(what: str, check: Callable[[], object], seconds: float = 60) -> None:
    """Ask kubectl in a thread: the keepers run in this loop."""
    for _ in range(int(seconds / 0.3)):
        if await asyncio.to_thread(check):
            return
        await asyncio.sleep(0.3)
    raise AssertionError(f"{what}: not after {seconds} s")


async def test_two_that_start_together_fill_the_charts_empty_secret_once(place: Place) -> None:
    async with AsyncExitStack() as stack:
        two = [await stack.enter_async_context(Replica(place, name).running()) for name in REPLICAS]
        await until("both to serve", lambda: all(one.served for one in two))
        await until("all to be right", place.right)
        secret = place.secret()
        assert [one.served for one in two] == [[secret["tls.crt"]]] * 2
        found = place.cluster.get(place.namespace, "secret", SECRET)
        assert found["metadata"]["labels"] == FOREIGN["labels"]
        assert found["metadata"]["annotations"] == FOREIGN["annotations"]
        assert found["type"] == "Opaque"


async def test_what_hands_and_upgrades_do_to_it_is_undone(place: Place) -> None:
    kubectl = place.cluster.kubectl
    where = ("-n", place.namespace)
    async with AsyncExitStack() as stack:
        for name in REPLICAS:
            await stack.enter_async_context(Replica(place, name).running())
        await until("all to be right", place.right)

        def patch(*what: str) -> None:
            kubectl(*where, "patch", "secret", SECRET, *what)

        for key in KEYS:
            before = place.secret()[key]
            garbage = {"data": {key: base64.b64encode(b"garbage").decode()}}
            await asyncio.to_thread(patch, "-p", json.dumps(garbage))
            await until(f"{key} to be mended", lambda: b"BEGIN" in place.secret().get(key, b""))  # noqa: B023
            await until("all to be right", place.right)
            kept = key == "ca.crt"  # a running replica knows its CA
            assert (place.secret()[key] == before) == kept
        for replace in (False, True):
            whole = webhooks(place.configuration, place.namespace)
            emptied = {"webhooks": [] if replace else whole["webhooks"]}
            if replace:
                await asyncio.to_thread(kubectl, "replace", "-f", "-", input=whole)
            else:
                merge = ["--type=merge", "-p", json.dumps(emptied)]
                name = place.configuration
                await asyncio.to_thread(
                    kubectl, "patch", "mutatingwebhookconfiguration", name, *merge
                )
            await until("caBundle to be set again", place.right)
        await asyncio.to_thread(kubectl, *where, "delete", "secret", SECRET)
        await until("the Secret to be made again", place.right)
        assert len(reading.authorities(place.bundles()[0])) >= 2


async def test_a_namespace_without_rights_is_said_and_mended_by_the_right(place: Place) -> None:
    kubectl = place.cluster.kubectl
    binding = place.cluster.get(place.namespace, "rolebinding", "keeper")
    kubectl("-n", place.namespace, "delete", "rolebinding", "keeper")
    async with place.api() as api:
        secrets = ClusterSecrets(api, place.namespace, SECRET)

        async def forbidden() -> bool:
            try:
                await secrets.read()
            except CertsError as error:
                return error.reason == "CertificatesForbidden" and "secrets" in str(error)
            return False

        for _ in range(50):
            if await forbidden():
                break
            await asyncio.sleep(0.2)
        assert await forbidden()
    async with Replica(place, "one").running() as replica:
        del binding["metadata"]["resourceVersion"], binding["metadata"]["uid"]
        await asyncio.to_thread(place.cluster.create, place.namespace, binding)
        await until("it to serve", lambda: replica.served)


async def test_a_watch_sees_the_object_and_nothing_of_others(place: Place) -> None:
    async with place.api() as api:
        secrets = ClusterSecrets(api, place.namespace, SECRET)
        seen = await secrets.read()
        watching = asyncio.create_task(secrets.changed(seen.since))
        create = ("-n", place.namespace, "create", "secret", "generic", "another")
        await asyncio.to_thread(place.cluster.kubectl, *create)
        await asyncio.sleep(1)
        assert not watching.done()
        assert seen.secret is not None
        await secrets.replace(seen.secret, {"ca.crt": b"x"})
        assert await asyncio.wait_for(watching, 30) is True
        with pytest.raises(CertsError, match="gave 409"):
            await secrets.replace(seen.secret, {"ca.crt": b"y"})
        with pytest.raises(CertsError):
            await secrets.create({"ca.crt": b"z"})


@pytest.fixture
def on_this_machine(cluster: Cluster) -> None:
    if not cluster.own:
        pytest.skip("the API server of a cluster elsewhere cannot call this machine")


def exposed(replica: Replica) -> list[dict[str, Any]]:
    """A Service whose only endpoint is this process."""
    service = {"ports": [{"port": 443, "targetPort": replica.port}]}
    subset = {"addresses": [{"ip": HOST_ADDRESS}], "ports": [{"port": replica.port}]}
    name = {"metadata": {"name": replica.name}}
    return [
        {"apiVersion": "v1", "kind": "Service", **name, "spec": service},
        {"apiVersion": "v1", "kind": "Endpoints", **name, "subsets": [subset]},
    ]


@pytest.mark.usefixtures("on_this_machine")
async def test_certificates_and_cas_change_under_load_and_no_call_fails(place: Place) -> None:
    """The API server itself calls both replicas, with a handshake each time."""
    created = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"generateName": "load-", "labels": {"certificates": place.namespace}},
    }
    failures: list[str] = []
    answered = 0

    async def create(api: Any) -> str:
        answer = await api.call_api(
            f"/api/v1/namespaces/{place.namespace}/configmaps",
            "POST",
            query_params=[("dryRun", "All")],
            header_params={"Content-Type": "application/json"},
            body=created,
            auth_settings=["BearerToken"],
            _preload_content=False,
        )
        said = await answer.text()
        return "" if answer.status == 201 else str(said)

    async with AsyncExitStack() as stack:
        two = [
            await stack.enter_async_context(
                Replica(place, name, LIFETIME_SECONDS).running("0.0.0.0")
            )
            for name in REPLICAS
        ]
        api = await stack.enter_async_context(place.cluster.api())
        listed = [each for replica in two for each in exposed(replica)]
        await asyncio.to_thread(place.cluster.create, place.namespace, *listed)
        for _ in range(100):
            if not await create(api):
                break
            await asyncio.sleep(0.2)
        issuers: set[str] = set()
        for _ in range(6000):
            failures += [said for said in [await create(api)] if said]
            answered += 1
            issuers |= {
                reading.common_name(reading.certificates(pem)[0].issuer)
                for replica in two
                for pem in replica.served
            }
            if len(issuers) >= 3 and min(len(replica.served) for replica in two) >= 4:
                break
            await asyncio.sleep(0.03)
    assert failures == []
    assert len(issuers) >= 3
    assert answered > 100
    assert min(replica.calls for replica in two) >= answered


def test_the_command_keeps_and_shows_them_and_never_a_key(place: Place, tmp_path: Path) -> None:
    def run(*more: str) -> subprocess.CompletedProcess[str]:
        configuration = ["--webhook-configuration", place.configuration]
        common = ["--namespace", place.namespace, "--secret", SECRET, *configuration]
        return subprocess.run(
            [sys.executable, "-m", "certs", *common, *more],
            cwd=REPOSITORY,
            env={**os.environ, "KUBECONFIG": str(place.cluster.kubeconfig), "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            check=False,
        )

    names = [
        word for name in service_names("one", place.namespace) for word in ("--dns-name", name)
    ]
    for _ in range(2):
        done = run(*names, "--once", "-v")
        assert done.returncode == 0, done.stderr
        assert place.right()
    assert "certificates written" not in done.stderr, "the second time there is nothing to do"
    shown = run("--print")
    assert shown.returncode == 0, shown.stderr
    assert f"for one.{place.namespace}.svc" in shown.stdout
    assert shown.stdout.count("the same as ca.crt") == 2
    for key in ("tls.key", "ca.key"):
        assert place.secret()[key].decode().splitlines()[1] not in shown.stdout + done.stderr
    assert run("--print", "--webhook-configuration", "").returncode == 0
    missing = run("--print", "--secret", "none")
    assert missing.returncode == 1
    assert "is missing" in missing.stderr
