"""Calls on one named object of the API server: chrek.kube's, whose errors become ours."""

from contextlib import aclosing
from http import HTTPStatus
from typing import Final

from kubernetes_asyncio.client.api_client import ApiClient

from certs.errors import CertsError, ConflictError, ForbiddenError, RejectedError, UnreachableError
from chrek.kube import errors
from chrek.kube.api import JSON, ClusterAPI, Patch
from chrek.kube.errors import APIError

_READ_SECONDS: Final = 15.0
_WATCH_SECONDS: Final = 60
_SILENCE_SECONDS: Final = _WATCH_SECONDS + 15.0


class Named:
    """The object `name` in the collection at `path`; `what` names it in messages."""

    def __init__(self, api: ApiClient, path: str, name: str, what: str) -> None:
        self._api = ClusterAPI(api)
        self._path = path
        self._name = name
        self.what = what

    async def read(self) -> tuple[JSON | None, str]:
        """The object, if it is there, and the version from which a watch goes on.

        Listed by name: the version of an object that has not changed for a while is too old to
        watch from, and that of the list is not. Without resourceVersion the answer is no cache's.
        """
        try:
            found = await self._api.get(self._path, self._only(), timeout_seconds=_READ_SECONDS)
        except APIError as error:
            raise self._ours(error) from error
        try:
            objects = found.get("items") or []
            return (objects[0] if objects else None), found["metadata"]["resourceVersion"]
        except (AttributeError, KeyError, TypeError) as error:
            raise RejectedError(f"{self.what}: what answers is no API server") from error

    async def create(self, body: JSON) -> None:
        try:
            await self._api.create(self._path, body)
        except APIError as error:
            raise self._ours(error) from error

    async def patch(self, body: JSON, kind: Patch) -> None:
        try:
            await self._api.patch(f"{self._path}/{self._name}", body, kind=kind)
        except APIError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                raise ConflictError(f"{self.what} was deleted meanwhile") from error
            raise self._ours(error) from error

    async def changed(self, since: str) -> bool:
        """Any line of a watch will do: whoever waits reads again, also after a 410 Gone."""
        query = {
            **self._only(),
            "watch": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        lines = self._api.lines(self._path, query, silence_seconds=_SILENCE_SECONDS)
        try:
            async with aclosing(lines):
                async for _ in lines:
                    return True
        except APIError as error:
            if isinstance(error, errors.ExpiredError) and not error.status:
                return True  # a line that is too long to be read
            raise self._ours(error) from error
        return False

    def _only(self) -> dict[str, str]:
        return {"fieldSelector": f"metadata.name={self._name}"}

    def _ours(self, error: APIError) -> CertsError:
        said = f"{self.what}: {' '.join(error.message.split())}"
        if isinstance(error, errors.ConflictError):
            return ConflictError(said)
        if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return ForbiddenError(said, hint="docs/certificates.md names the rights it takes")
        if not error.passing:
            return RejectedError(said)
        return UnreachableError(said)
