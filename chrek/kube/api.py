"""The API server behind a small protocol: get and write objects, follow a stream of lines.

Objects stay the JSON that they are: a webhook must give back what it does not know, and typed
models would drop it.
"""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import aiohttp
import yaml
from aiohttp.http_exceptions import HttpProcessingError
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

import chrek
from chrek.kube.answers import check, decode, no_answer
from chrek.kube.errors import APIError, ExpiredError, NoClusterError

JSON = dict[str, Any]
Patch = Literal["merge", "strategic"]
"""strategic: lists are merged by their key, which custom resources do not know."""

_NOT_FOUND: Final = 404
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._:-]+)+")
"""Names in it may come from a pod that nobody has validated, and must not lead elsewhere."""
_PATH_CHARACTERS: Final = 300
_CONNECT_SECONDS: Final = 10.0
_WRITE_SECONDS: Final = 30.0
_CONTENT_TYPES: Final[dict[Patch, str]] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_UNREACHABLE: Final = (
    aiohttp.ClientError, OSError, asyncio.TimeoutError, config.ConfigException,
)  # fmt: skip
_UNREADABLE: Final = (
    config.ConfigException, yaml.YAMLError, OSError,
    AttributeError, KeyError, TypeError, ValueError,
)  # fmt: skip
"""What the client's loader raises for a kubeconfig that is none."""


class API(Protocol):
    """Raises APIError, ExpiredError for 410, ConflictError for 409.

    No write is repeated here: after an error with status 0 it may have been done nevertheless.
    """

    async def get(
        self, path: str, query: Mapping[str, str] = ..., *, timeout_seconds: float = ...
    ) -> JSON:
        """The object or list at `path`."""

    def lines(
        self, path: str, query: Mapping[str, str], *, silence_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of a watch, until the server ends it or is silent for too long."""

    async def create(self, path: str, body: JSON) -> JSON:
        """A new object in the collection at `path`, as stored; AlreadyExistsError."""

    async def replace(self, path: str, body: JSON) -> JSON:
        """The object at `path`, as stored; ConflictError unless metadata.resourceVersion of
        `body`, where it has one, is still that of the object."""

    async def patch(self, path: str, body: JSON, *, kind: Patch = ...) -> JSON:
        """What `body` names is changed, the rest stays; the object as stored. ConflictError as
        for `replace`."""

    async def delete(
        self, path: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        """There is no such object afterwards, or it waits for its finalizers. ConflictError if
        the one that is there has another uid or resourceVersion."""


@dataclass(frozen=True, slots=True)
class _Question:
    method: str
    path: str
    limit: aiohttp.ClientTimeout = field(default_factory=lambda: _limit(_WRITE_SECONDS))
    query: Mapping[str, str] = field(default_factory=dict)
    body: JSON | None = None
    content_type: str = "application/json"


class ClusterAPI:
    """The API server that a service account or a kubeconfig leads to."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, timeout_seconds: float = 30.0
    ) -> JSON:
        limit = _limit(timeout_seconds)
        return decode(path, await self._content(_Question("GET", path, limit, query or {})))

    async def lines(
        self, path: str, query: Mapping[str, str], *, silence_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        limit = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=silence_seconds)
        try:
            async with await self._ask(_Question("GET", path, limit, query)) as answer:
                if not answer.ok:
                    check(path, answer.status, await answer.read())
                try:
                    async for line in answer.content:
                        yield line
                except aiohttp.SocketTimeoutError:
                    return  # nothing has changed for so long; or the connection is dead: begin anew
        except _UNREACHABLE as error:
            raise no_answer(path, error) from error
        except (ValueError, HttpProcessingError) as error:  # too long a line; a list has no limit
            raise ExpiredError(f"{path}: a line cannot be read: {error!r:.100}") from error

    async def create(self, path: str, body: JSON) -> JSON:
        return decode(path, await self._content(_Question("POST", path, body=body)))

    async def replace(self, path: str, body: JSON) -> JSON:
        return decode(path, await self._content(_Question("PUT", path, body=body)))

    async def patch(self, path: str, body: JSON, *, kind: Patch = "merge") -> JSON:
        asked = _Question("PATCH", path, body=body, content_type=_CONTENT_TYPES[kind])
        return decode(path, await self._content(asked))

    async def delete(
        self, path: str, *, uid: str | None = None, version: str | None = None
    ) -> None:
        wanted = {"uid": uid, "resourceVersion": version}
        given = {key: value for key, value in wanted.items() if value is not None}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": given}
        _refuse_other_than_names(path)
        try:
            await self._content(_Question("DELETE", path, body=body))
        except APIError as error:
            if error.status != _NOT_FOUND:
                raise

    async def _content(self, asked: _Question) -> bytes:
        try:
            async with await self._ask(asked) as answer:
                content = await answer.read()
                check(asked.path, answer.status, content)
        except _UNREACHABLE as error:
            raise no_answer(asked.path, error) from error
        return content

    async def _ask(self, asked: _Question) -> aiohttp.ClientResponse:
        _refuse_other_than_names(asked.path)
        answer: aiohttp.ClientResponse = await self._client.call_api(
            asked.path,
            asked.method,
            query_params=list(asked.query.items()),
            header_params={"Accept": "application/json", "Content-Type": asked.content_type},
            body=asked.body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=asked.limit,
        )
        return answer


@asynccontextmanager
async def connected() -> AsyncIterator[ApiClient]:
    """A client for the cluster of KUBECONFIG, else of this pod's service account."""
    configuration = Configuration()
    try:
        if named := os.environ.get("KUBECONFIG"):
            # Never written to: a refreshed token would be put into a user's file.
            await config.load_kube_config(
                config_file=named, client_configuration=configuration, persist_config=False
            )
        else:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
    except _UNREADABLE as error:
        raise NoClusterError(
            f"no Kubernetes cluster is known: {str(error).rstrip('.')}",
            hint="Set KUBECONFIG, or run in a pod with a service account",
        ) from error
    async with ApiClient(configuration) as client:
        # The API server notes it as the manager of the fields that are written.
        client.user_agent = f"chrek/{chrek.__version__}"
        yield client


def _limit(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)


def _refuse_other_than_names(path: str) -> None:
    if not _PATH.fullmatch(path):
        raise APIError(f"{path[:_PATH_CHARACTERS]!r} names no object", status=_NOT_FOUND)
