"""Runtimes that speak another version of the interface, or none.

No containerd of Debian speaks v1alpha2 alone: here a server with just its paths does.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.runtime.cri import client, cri_pb2, sockets
from agent.runtime.cri.client import connected
from agent.runtime.cri.errors import CRIError, RuntimeUnreachableError

Serve = Callable[..., AbstractAsyncContextManager[None]]


@asynccontextmanager
async def serving(path: Path, *versions: str, containers: int = 1) -> AsyncIterator[None]:
    """A runtime at `path` that speaks `versions`."""

    async def version(
        _: cri_pb2.VersionRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> cri_pb2.VersionResponse:
        return cri_pb2.VersionResponse(runtime_name="fake", runtime_version="1")

    async def listed(
        _: cri_pb2.ListContainersRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> cri_pb2.ListContainersResponse:
        labels = {"io.kubernetes.pod.uid": "u" * 1000}
        made = [cri_pb2.Container(id=str(number), labels=labels) for number in range(containers)]
        return cri_pb2.ListContainersResponse(containers=made)

    def method(function: Callable[..., Awaitable[object]], request: type[object]) -> object:
        return grpc.unary_unary_rpc_method_handler(
            function,
            request_deserializer=request.FromString,  # type: ignore[attr-defined]
            response_serializer=lambda answer: answer.SerializeToString(),
        )

    server = grpc.aio.server()
    for each in versions:
        methods = {
            "Version": method(version, cri_pb2.VersionRequest),
            "ListContainers": method(listed, cri_pb2.ListContainersRequest),
        }
        name = f"runtime.{each}.RuntimeService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))  # type: ignore[arg-type]
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)
        path.unlink(missing_ok=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.sock"


async def test_the_older_version_is_spoken_where_there_is_no_other(path: Path) -> None:
    async with serving(path, "v1alpha2"), connected(path) as cri:
        assert cri.version == "v1alpha2"
        assert len(await cri.containers()) == 1


async def test_the_newer_version_is_preferred(path: Path) -> None:
    async with serving(path, "v1alpha2", "v1"), connected(path) as cri:
        assert cri.version == "v1"


async def test_a_runtime_that_is_upgraded_is_spoken_to_in_its_new_version(path: Path) -> None:
    async with serving(path, "v1alpha2"):
        connection = connected(path)
        cri = await connection.__aenter__()
    async with serving(path, "v1"):
        assert len(await cri.containers()) == 1
        assert cri.version == "v1"
        await connection.__aexit__(None, None, None)


async def test_a_node_full_of_containers_is_listed(path: Path) -> None:
    async with serving(path, "v1", containers=8000), connected(path) as cri:
        assert len(await cri.containers()) == 8000


async def test_a_server_of_something_else_is_no_runtime(path: Path) -> None:
    async with serving(path, "v2"):
        with pytest.raises(RuntimeUnreachableError, match="neither v1 nor v1alpha2"):
            async with connected(path):
                pass


async def test_a_call_that_the_runtime_does_not_know_is_an_error(path: Path) -> None:
    async with serving(path, "v1"), connected(path) as cri:
        with pytest.raises(CRIError, match="ImageStatus"):
            await cri.image("web")


async def test_a_server_that_is_silent_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_FIRST_CALL_SECONDS", 0.3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with pytest.raises(RuntimeUnreachableError, match="no container runtime answers"):
            async with connected(path):
                pass


async def test_of_the_usual_sockets_the_first_that_answers_is_taken(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_FIRST_CALL_SECONDS", 0.3)
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))  # and nobody listens
    monkeypatch.setattr(sockets, "USUAL", (tmp_path / "absent.sock", stale, path))
    async with serving(path, "v1"), connected(None) as cri:
        assert cri.socket == path


async def test_calls_are_made_at_the_same_time(path: Path) -> None:
    async with serving(path, "v1"), connected(path) as cri:
        found = await asyncio.gather(*(cri.containers() for _ in range(50)))
        assert [len(each) for each in found] == [1] * 50


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/run/containerd/containerd.sock", "/host/run/containerd/containerd.sock"),
        ("/var/run/cri-dockerd.sock", "/host/run/cri-dockerd.sock"),
        ("/srv/c.sock", "/proc/1/root/srv/c.sock"),
        ("/runner/c.sock", "/proc/1/root/runner/c.sock"),
    ],
)
def test_a_path_of_the_host_is_seen_by_way_of_its_mounts(
    path: str, seen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted = tmp_path / "run"
    monkeypatch.setattr(sockets, "_HOST_RUN", mounted)
    assert sockets.seen(Path(path)) == Path(path)  # on the host itself
    mounted.mkdir()
    expected = Path(seen.replace("/host/run", str(mounted)))
    assert sockets.seen(Path(path)) == expected
