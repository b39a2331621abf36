"""What an image runs, asked of its registry with the pod's own pull secrets."""

from collections.abc import Mapping
from typing import Any, Final

from chrek.kube.api import API
from chrek.kube.errors import APIError
from webhook.admission.known import ImageConfig
from webhook.registry.lookup import Registry
from webhook.registry.pullsecrets import pull_keyring

_ABSENT: Final = (403, 404)


class RegistryImages:
    """The registry lookup, for an installation that allows it."""

    def __init__(self, api: API, registry: Registry) -> None:
        self._reader = _Reader(api)
        self._registry = registry

    async def config(
        self, image: str, namespace: str, spec: Mapping[str, Any]
    ) -> ImageConfig | None:
        """Raises ChrekError, whose sentence the user is shown."""
        keys = await pull_keyring({"spec": spec}, namespace, self._reader)
        found = await self._registry.config(image, keys)
        return ImageConfig(found.entrypoint, found.cmd)


class _Reader:
    """Secrets and ServiceAccounts of the namespace of a pod."""

    def __init__(self, api: API) -> None:
        self._api = api

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        return await self._read(f"/api/v1/namespaces/{namespace}/secrets/{name}")

    async def service_account(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        return await self._read(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")

    async def _read(self, path: str) -> Mapping[str, Any] | None:
        try:
            return await self._api.get(path, {}, timeout_seconds=1.0)
        except APIError as error:
            if error.status in _ABSENT:
                return None
            raise
