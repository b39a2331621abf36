"""The Secret and the webhook configuration in a cluster."""

import base64
from collections.abc import Mapping

from kubernetes_asyncio.client.api_client import ApiClient

from certs.api import Named
from certs.pair import Content
from certs.places import Configuration, Secret, SeenConfiguration, SeenSecret
from chrek.kube.api import JSON


class ClusterSecrets:
    """One Secret. `labels` are put on it if it has to be created; one that exists keeps its own,
    and its type. kind: the type of a created one. Opaque by default, as the chart makes it: a
    type never changes, and an upgrade of the chart would fail on another one.
    """

    def __init__(
        self,
        api: ApiClient,
        namespace: str,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        kind: str = "Opaque",
    ) -> None:
        self._kind = kind
        self._object = Named(
            api, f"/api/v1/namespaces/{namespace}/secrets", name, f"Secret {namespace}/{name}"
        )
        self._metadata: JSON = {"name": name, "namespace": namespace, "labels": dict(labels or {})}

    @property
    def name(self) -> str:
        return self._object.what

    async def read(self) -> SeenSecret:
        found, since = await self._object.read()
        if found is None:
            return SeenSecret(None, since)
        content = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
        return SeenSecret(Secret(content, found["metadata"]["resourceVersion"]), since)

    async def create(self, content: Content) -> None:
        await self._object.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": self._metadata,
                "type": self._kind,
                "data": _encoded(content),
            }
        )

    async def replace(self, secret: Secret, content: Content) -> None:
        # A patch: what it does not name stays, also fields of a Kubernetes newer than this.
        version = {"resourceVersion": secret.version}
        await self._object.patch({"metadata": version, "data": _encoded(content)}, "merge")

    async def changed(self, since: str) -> bool:
        return await self._object.changed(since)


class ClusterWebhookConfigurations:
    """One MutatingWebhookConfiguration."""

    def __init__(self, api: ApiClient, name: str) -> None:
        self._object = Named(
            api,
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            name,
            f"MutatingWebhookConfiguration {name}",
        )

    @property
    def name(self) -> str:
        return self._object.what

    async def read(self) -> SeenConfiguration:
        found, since = await self._object.read()
        if found is None:
            return SeenConfiguration(None, since)
        bundles = {
            webhook["name"]: base64.b64decode(webhook["clientConfig"].get("caBundle") or "")
            for webhook in found.get("webhooks") or []
        }
        return SeenConfiguration(
            Configuration(bundles, found["metadata"]["resourceVersion"]), since
        )

    async def trust(self, configuration: Configuration, bundle_pem: bytes) -> None:
        bundle = base64.b64encode(bundle_pem).decode()
        webhooks = [
            {"name": name, "clientConfig": {"caBundle": bundle}} for name in configuration.bundles
        ]
        version = {"resourceVersion": configuration.version}
        # Strategic: webhooks are merged by name, so that nothing else of them is written.
        await self._object.patch({"metadata": version, "webhooks": webhooks}, "strategic")

    async def changed(self, since: str) -> bool:
        return await self._object.changed(since)


def _encoded(content: Content) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in content.items()}
