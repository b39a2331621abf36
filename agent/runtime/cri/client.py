"""The node's runtime, asked for containers and images."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from agent.runtime.cri import cri_pb2, reading, sockets
from agent.runtime.cri.calls import HINT, Connection
from agent.runtime.cri.errors import (
    CRIError,
    ImageUnknownError,
    RuntimeUnreachableError,
    UnknownCallError,
)
from agent.runtime.cri.model import Container, ContainerID, ImageConfig, Status

CALL_SECONDS = 10.0
_FIRST_CALL_SECONDS = 3.0
_VERSIONS = ("v1", "v1alpha2")

_Answer = TypeVar("_Answer", bound=Message)


class CRI:
    """A runtime that answers. Made by connected().

    socket: its path on the host. version: of the interface, v1 or v1alpha2. runtime_name,
    runtime_version: what it calls itself. Its calls raise RuntimeUnreachableError and other
    CRIErrors.
    """

    def __init__(self, connection: Connection) -> None:
        self.socket = connection.path
        self.version = _VERSIONS[0]
        self.runtime_name = ""
        self.runtime_version = ""
        self._connection = connection

    async def containers(self) -> list[Container]:
        """Every container of a pod on this node, in any state, restarted ones as well."""
        request = cri_pb2.ListContainersRequest()
        answer = await self._ask(
            "RuntimeService/ListContainers", request, cri_pb2.ListContainersResponse
        )
        return reading.containers(answer.containers)

    async def status(self, container: ContainerID) -> Status:
        """One container in full; raises ContainerUnknownError."""
        request = cri_pb2.ContainerStatusRequest(container_id=container, verbose=True)
        answer = await self._ask(
            "RuntimeService/ContainerStatus", request, cri_pb2.ContainerStatusResponse
        )
        return reading.status(answer)

    async def image(self, image: str) -> ImageConfig:
        """An image by a Status's image_ref, or by name; raises ImageUnknownError."""
        request = cri_pb2.ImageStatusRequest(image=cri_pb2.ImageSpec(image=image), verbose=True)
        answer = await self._ask("ImageService/ImageStatus", request, cri_pb2.ImageStatusResponse)
        if not answer.HasField("image"):  # no error, says the interface
            raise ImageUnknownError(f"the runtime has no image {image}")
        return reading.image(answer)

    async def agree(self, seconds: float = CALL_SECONDS) -> None:
        """Learn which version of the interface it speaks, the newest first."""
        for version in _VERSIONS:
            try:
                answer = await self._send(
                    version,
                    "RuntimeService/Version",
                    cri_pb2.VersionRequest(),
                    cri_pb2.VersionResponse,
                    seconds,
                )
            except UnknownCallError:
                continue
            self.version = version
            self.runtime_name = answer.runtime_name
            self.runtime_version = answer.runtime_version
            return
        raise CRIError(
            f"{self.socket} speaks neither {' nor '.join(_VERSIONS)} of the CRI", hint=HINT
        )

    async def _ask(self, call: str, request: Message, answer: type[_Answer]) -> _Answer:
        try:
            return await self._send(self.version, call, request, answer, CALL_SECONDS)
        except UnknownCallError:
            # Containers run on while the runtime is upgraded to one without the older version.
            await self.agree()
        return await self._send(self.version, call, request, answer, CALL_SECONDS)

    async def _send(
        self, version: str, call: str, request: Message, answer: type[_Answer], seconds: float
    ) -> _Answer:
        return await self._connection.send(f"/runtime.{version}.{call}", request, answer, seconds)


@asynccontextmanager
async def connected(socket: Path | None = None) -> AsyncIterator[CRI]:
    """The runtime at `socket`, a path on the host, or at the first usual one that answers.

    Raises RuntimeUnreachableError that says what was tried.
    """
    tried: list[str] = []
    for path in [socket] if socket else sockets.USUAL:
        place = sockets.seen(path)
        if not place.is_socket():
            tried.append(f"{path}: no socket there")
            continue
        async with Connection(path, place) as connection:
            runtime = CRI(connection)
            try:
                await runtime.agree(_FIRST_CALL_SECONDS)
            except CRIError as error:
                tried.append(error.message)
                continue
            yield runtime
            return
    raise RuntimeUnreachableError(
        f"no container runtime answers ({'; '.join(tried)})",
        hint="Start it, or name its socket on the node with --cri-socket",
    )
