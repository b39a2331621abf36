"""The keys of all agents of a release: one Secret, the key that signs made by the first agent.

The chart makes the Secret, empty. Every write names the version that was read, so of several
agents that start at once one writes, and the others read what it wrote.
"""

import asyncio
import base64
import random
from typing import Final

from agent.trust import pem
from agent.trust.keys import SIGNING, Keyring, Keys, of_files
from chrek.errors import SigningKeyError
from chrek.kube.api import API, JSON
from chrek.kube.errors import APIError, ConflictError

_ATTEMPTS: Final = 20
_LONGEST_PAUSE_SECONDS: Final = 0.5
_NOT_FOUND: Final = 404


async def of_secret(api: API, namespace: str, name: str) -> Keyring:
    """The keys in a Secret; raises SigningKeyError, APIError."""
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    place = f"Secret {namespace}/{name}"

    async def again() -> Keys:
        return await _kept(api, path, place)

    return Keyring(await again(), again)


async def _kept(api: API, path: str, place: str) -> Keys:
    for _ in range(_ATTEMPTS):
        secret = await _read(api, path, place)
        files = _files(secret, place)
        if SIGNING in files:
            return of_files(files, place)
        made = pem.new()
        # Checked before it is written: beside keys that are none, nothing is added.
        keys = of_files({**files, SIGNING: made}, place)
        encoded = {**(secret.get("data") or {}), SIGNING: base64.b64encode(made).decode()}
        try:
            await api.replace(path, {**secret, "data": encoded})
        except ConflictError:
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311
        else:
            return keys
    raise SigningKeyError(f"{place} changes all the time: no key could be written into it")


async def _read(api: API, path: str, place: str) -> JSON:
    try:
        return await api.get(path)
    except APIError as error:
        if error.status != _NOT_FOUND:
            raise
        raise SigningKeyError(
            f"there is no {place}", hint="The chart makes it: run helm upgrade again"
        ) from error


def _files(secret: JSON, place: str) -> dict[str, bytes]:
    try:
        data = (secret.get("data") or {}).items()
        return {name: base64.b64decode(value, validate=True) for name, value in data}
    except (AttributeError, TypeError, ValueError) as error:
        raise SigningKeyError(f"{place} has data that is not base64") from error
