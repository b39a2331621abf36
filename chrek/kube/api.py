"""The API server behind a small protocol: get an object, follow a stream of lines.

Objects stay the JSON that they are: a webhook must give back what it does not know, and typed
models would drop it.
"""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import aiohttp
import msgspec
import yaml
from aiohttp.http_exceptions import HttpProcessingError
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

from chrek.kube.errors import APIError, ExpiredError, NoClusterError

JSON = dict[str, Any]

_NOT_FOUND: Final = 404
_GONE: Final = 410
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._:-]+)+")
"""Names in it may come from a pod that nobody has validated, and must not lead elsewhere."""
_MESSAGE_CHARACTERS: Final = 300
_CONNECT_SECONDS: Final = 10.0
_UNREACHABLE: Final = (
    aiohttp.ClientError, OSError, asyncio.TimeoutError, config.ConfigException,
)  # fmt: skip
_UNREADABLE: Final = (
    config.ConfigException, yaml.YAMLError, OSError,
    AttributeError, KeyError, TypeError, ValueError,
)  # fmt: skip
"""What the client's loader raises for a kubeconfig that is none."""
_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class API(Protocol):
    """Raises APIError, and ExpiredError for 410."""

    async def get(
        self, path: str, query: Mapping[str, str] = ..., *, timeout_seconds: float = ...
    ) -> JSON:
        """The object or list at `path`."""

    def lines(
        self, path: str, query: Mapping[str, str], *, silence_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of a watch, until the server ends it or is silent for too long."""


class ClusterAPI:
    """The API server that a service account or a kubeconfig leads to."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, timeout_seconds: float = 30.0
    ) -> JSON:
        limit = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_SECONDS)
        try:
            async with await self._request(path, query or {}, limit) as answer:
                content = await answer.read()
                _check(path, answer.status, content)
        except _UNREACHABLE as error:
            raise _no_answer(path, error) from error
        return _decode(path, content)

    async def lines(
        self, path: str, query: Mapping[str, str], *, silence_seconds: float
    ) -> AsyncGenerator[bytes, None]:
        limit = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=silence_seconds)
        try:
            async with await self._request(path, query, limit) as answer:
                if not answer.ok:
                    _check(path, answer.status, await answer.read())
                async for line in answer.content:
                    yield line
        except _UNREACHABLE as error:
            raise _no_answer(path, error) from error
        except (ValueError, HttpProcessingError) as error:  # too long a line; a list has no limit
            raise ExpiredError(f"{path}: a line cannot be read: {error!r:.100}") from error

    async def _request(
        self, path: str, query: Mapping[str, str], limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if not _PATH.fullmatch(path):
            raise APIError(f"{path[:_MESSAGE_CHARACTERS]!r} names no object", status=_NOT_FOUND)
        answer: aiohttp.ClientResponse = await self._client.call_api(
            path,
            "GET",
            query_params=list(query.items()),
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=limit,
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
            f"no Kubernetes cluster is known: {error}",
            hint="Set KUBECONFIG, or run in a pod with a service account",
        ) from error
    async with ApiClient(configuration) as client:
        yield client


def _check(path: str, status: int, content: bytes) -> None:
    if status < 400:  # noqa: PLR2004
        return
    try:
        message = str(msgspec.json.decode(content)["message"])
    except (*_NOT_JSON, KeyError, TypeError):
        message = content[:_MESSAGE_CHARACTERS].decode(errors="replace")
    raised = ExpiredError if status == _GONE else APIError
    raise raised(f"{path} gave {status}: {message[:_MESSAGE_CHARACTERS]}", status=status)


def _no_answer(path: str, error: Exception) -> APIError:
    return APIError(f"{path}: no answer from the API server: {error or type(error).__name__}")


def _decode(path: str, content: bytes) -> JSON:
    try:
        return msgspec.json.decode(content, type=JSON)
    except _NOT_JSON as error:
        raise APIError(f"{path}: the API server's answer is not JSON: {error}") from error
