"""Calls on one named object of the API server. JSON in, JSON out; its errors become ours.

Through kubernetes-asyncio's client for addresses, credentials and TLS, past its models: they drop
fields that they do not know, and take a second to import what is not needed here.
"""

import json
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.client.exceptions import OpenApiException
from kubernetes_asyncio.config import ConfigException

from certs.errors import CertsError, ConflictError, ForbiddenError, RejectedError, UnreachableError

Json = dict[str, Any]

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
_JSON = "application/json"

_TIMEOUT = aiohttp.ClientTimeout(total=15)
_WATCH_SECONDS: Final = 60
_WATCH_TIMEOUT = aiohttp.ClientTimeout(sock_connect=10, sock_read=_WATCH_SECONDS + 15)
_ANSWERS = (
    aiohttp.ClientError,
    OpenApiException,
    ConfigException,
    OSError,
    TimeoutError,
    ValueError,
)


class Named:
    """The object `name` in the collection at `path`; `what` names it in messages."""

    def __init__(self, api: ApiClient, path: str, name: str, what: str) -> None:
        self._api = api
        self._path = path
        self._name = name
        self.what = what

    async def read(self) -> tuple[Json | None, str]:
        """The object, if it is there, and the version from which a watch goes on.

        Listed by name: the version of an object that has not changed for a while is too old to
        watch from, and that of the list is not. Without resourceVersion the answer is no cache's.
        """
        found = await self._call("GET", self._path, query=self._only())
        try:
            objects = found.get("items") or []
            return (objects[0] if objects else None), found["metadata"]["resourceVersion"]
        except (AttributeError, KeyError, TypeError) as error:
            raise RejectedError(f"{self.what}: what answers is no API server") from error

    async def create(self, body: Json) -> None:
        await self._call("POST", self._path, body=body, content_type=_JSON)

    async def patch(self, body: Json, content_type: str) -> None:
        path = f"{self._path}/{self._name}"
        try:
            await self._call("PATCH", path, body=body, content_type=content_type)
        except _NotFoundError as error:
            raise ConflictError(f"{self.what} was deleted meanwhile") from error

    async def changed(self, since: str) -> bool:
        """Any byte of a watch will do: whoever waits reads again, also after a 410 Gone."""
        query = [
            *self._only(),
            ("watch", "true"),
            ("resourceVersion", since),
            ("timeoutSeconds", str(_WATCH_SECONDS)),
        ]
        try:
            response = await self._request("GET", self._path, query, limits=_WATCH_TIMEOUT)
            async with response:
                await self._raise_for(response)
                return bool(await response.content.readany())
        except _ANSWERS as error:
            raise self._unreachable(error) from error

    def _only(self) -> list[tuple[str, str]]:
        return [("fieldSelector", f"metadata.name={self._name}")]

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Json | None = None,
        content_type: str | None = None,
    ) -> Any:
        try:
            response = await self._request(
                method, path, query or [], body=body, content_type=content_type
            )
            async with response:
                await self._raise_for(response)
                return json.loads(await response.read())
        except _ANSWERS as error:
            raise self._unreachable(error) from error

    async def _request(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]],
        *,
        body: Json | None = None,
        content_type: str | None = None,
        limits: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": _JSON}
        if content_type:
            headers["Content-Type"] = content_type
        response: aiohttp.ClientResponse = await self._api.call_api(
            path,
            method,
            query_params=query,
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,  # with it, a failure loses its body and debug logs show keys
            _request_timeout=limits,
        )
        return response

    async def _raise_for(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status < HTTPStatus.BAD_REQUEST:
            return
        said = _message(await response.read())
        text = f"{self.what}: the API server answers {status}: {said}"
        if status == HTTPStatus.CONFLICT:
            raise ConflictError(text)
        if status == HTTPStatus.NOT_FOUND:
            raise _NotFoundError(text)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ForbiddenError(text, hint="docs/certificates.md names the rights it takes")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnreachableError(text)
        raise RejectedError(text)

    def _unreachable(self, error: Exception) -> CertsError:
        return UnreachableError(f"{self.what}: the API server cannot be asked: {error!r}")


class _NotFoundError(RejectedError):
    reason = "NotFound"


def _message(body: bytes) -> str:
    try:
        said = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        said = body.decode(errors="replace")
    return " ".join(str(said).split())[:300]
