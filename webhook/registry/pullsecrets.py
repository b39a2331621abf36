"""The pull secrets of a pod that is being admitted: its own, else its ServiceAccount's.

The API server's ServiceAccount plugin has normally copied the latter into the pod by then; with
it switched off kubelet would not use them, but asking the registry with them does no harm.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from webhook.registry.credentials import Keyring, keyring
from webhook.registry.errors import RegistryTimeoutError

_MOST = 16
_DEFAULT_ACCOUNT = "default"


class Reader(Protocol):
    """Reads single objects of a namespace; None: there is none, or it may not be read."""

    async def secret(self, namespace: str, name: str) -> Mapping[str, Any] | None: ...

    async def service_account(self, namespace: str, name: str) -> Mapping[str, Any] | None: ...


async def pull_keyring(
    pod: Mapping[str, Any], namespace: str, reader: Reader, *, deadline_seconds: float = 1.0
) -> Keyring:
    """What `pod` may show to registries; raises PullSecretError and RegistryTimeoutError.

    A secret that does not exist is passed over, as kubelet does.
    """
    spec = pod.get("spec") or {}
    try:
        async with asyncio.timeout(deadline_seconds):
            names = _names(spec)
            if not names:
                account = str(spec.get("serviceAccountName") or _DEFAULT_ACCOUNT)
                names = _names(await reader.service_account(namespace, account) or {})
            found = await asyncio.gather(*(reader.secret(namespace, name) for name in names))
    except TimeoutError:
        raise RegistryTimeoutError(
            f"reading pull secrets of namespace {namespace} took more than {deadline_seconds:g} s",
            hint="Look at the API server's load",
        ) from None
    return keyring(secret for secret in found if secret is not None)


def _names(holder: Mapping[str, Any]) -> list[str]:
    """At most so many: each is a request to the API server, and a pod may name any number."""
    references = holder.get("imagePullSecrets") or []
    names = [str(reference.get("name") or "") for reference in references[:_MOST]]
    return list(dict.fromkeys(name for name in names if name))
