"""Calls over the runtime's socket, each with a deadline. A runtime that comes back before that,
restarted, is asked again: all that is asked for here only reads."""

import asyncio
import time
from pathlib import Path
from typing import Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from agent.runtime.cri.errors import (
    ContainerUnknownError,
    CRIError,
    ImageUnknownError,
    RuntimeUnreachableError,
    UnknownCallError,
)

HINT = "See the log of the node's container runtime, as `journalctl -u containerd` or `-u crio`"
_PAUSE_SECONDS = 0.1
_SAID_CHARACTERS = 1000
# Of containerd that has begun to listen but not yet to answer; its code differs by release.
_STARTING = "not initialized yet"
_OPTIONS = (
    ("grpc.max_receive_message_length", 16 << 20),  # as the kubelet's own
    ("grpc.max_metadata_size", 64 << 10),  # where a long error travels; 8 KiB is the default
    ("grpc.absolute_max_metadata_size", 128 << 10),
    ("grpc.default_authority", "localhost"),  # a percent-encoded path is refused by Go servers
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

_Answer = TypeVar("_Answer", bound=Message)


class Connection:
    """A connection to the socket `path` of the host, made when needed, and again when lost.

    place: that socket as the agent sees it. Use as `async with`.
    """

    def __init__(self, path: Path, place: Path) -> None:
        self.path = path
        self._channel = grpc.aio.insecure_channel(f"unix:{place}", options=_OPTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._channel.close()

    async def send(
        self, method: str, request: Message, answer: type[_Answer], seconds: float
    ) -> _Answer:
        """One call, as /runtime.v1.RuntimeService/Version; raises CRIErrors that name it."""
        call = self._channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            try:
                got: _Answer = await call(request, timeout=max(left, 0.0), wait_for_ready=True)
            except grpc.aio.AioRpcError as error:
                if left <= _PAUSE_SECONDS or not _is_away(error):
                    raise _error(method, self.path, error) from error
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return got


def _is_away(error: grpc.aio.AioRpcError) -> bool:
    return error.code() == grpc.StatusCode.UNAVAILABLE or _STARTING in (error.details() or "")


def _error(method: str, path: Path, error: grpc.aio.AioRpcError) -> CRIError:
    code, name = error.code(), method.rpartition("/")[2]
    message = f"{name} on {path}: {(error.details() or code.name)[:_SAID_CHARACTERS]}"
    if code == grpc.StatusCode.DEADLINE_EXCEEDED or _is_away(error):
        return RuntimeUnreachableError(message, hint=HINT)
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return UnknownCallError(message, hint=HINT)
    if code == grpc.StatusCode.NOT_FOUND:
        return (
            ImageUnknownError(message) if name == "ImageStatus" else ContainerUnknownError(message)
        )
    return CRIError(message, hint=HINT)
