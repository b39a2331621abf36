"""The kubelet's PodResources, from a real gRPC server on a socket."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from agent.cuda import given
from agent.cuda.helper.model import GPU, Inventory
from agent.cuda.podresources import podresources_pb2 as messages
from agent.cuda.podresources.kubelet import device_ids
from agent.runtime.target import PodName

POD = PodName("team", "web-0", "main")
UUIDS = [f"GPU-{number:08x}-1111-2222-3333-444444444444" for number in range(3)]

Resources = messages.ContainerResources
Serve = Callable[..., None]


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "kubelet.sock"


@pytest_asyncio.fixture
async def serve(socket: Path) -> AsyncIterator[Serve]:
    """Lists POD's containers as they are given, among other pods."""
    listed = messages.ListPodResourcesResponse()

    async def answer(
        _: messages.ListPodResourcesRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> messages.ListPodResourcesResponse:
        return listed

    handler = grpc.unary_unary_rpc_method_handler(
        answer,  # type: ignore[arg-type]
        request_deserializer=messages.ListPodResourcesRequest.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    server = grpc.aio.server()
    methods = {"List": handler}
    generic = grpc.method_handlers_generic_handler("v1.PodResourcesLister", methods)
    server.add_generic_rpc_handlers((generic,))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()

    def set_containers(*containers: messages.ContainerResources) -> None:
        other = Resources(name="main", devices=[plugin("nvidia.com/gpu", UUIDS[2])])
        for namespace, name, made in (
            ("team", "web-1", [other]),
            ("other", "web-0", [other]),
            ("team", "web-0", containers),
        ):
            listed.pod_resources.add(namespace=namespace, name=name, containers=made)

    yield set_containers
    await server.stop(None)


def plugin(resource: str, *ids: str) -> messages.ContainerDevices:
    return messages.ContainerDevices(resource_name=resource, device_ids=ids)


def gpus(count: int = 3) -> Inventory:
    return Inventory(
        "580.1",
        13000,
        [GPU(uuid, "NVIDIA H200", n, 1, 1, False, False, []) for n, uuid in enumerate(UUIDS)][
            :count
        ],
    )


async def test_the_device_plugins_uuids_of_one_container(serve: Serve, socket: Path) -> None:
    serve(
        Resources(name="sidecar", devices=[plugin("nvidia.com/gpu", UUIDS[2])]),
        Resources(
            name="main",
            devices=[plugin("rdma/hca", "mlx5_0"), plugin("nvidia.com/gpu", UUIDS[1], UUIDS[0])],
        ),
    )
    assert await device_ids(POD, socket) == [UUIDS[1], UUIDS[0]]


async def test_shared_gpus_are_known_by_their_uuid(serve: Serve, socket: Path) -> None:
    devices = [plugin("nvidia.com/gpu.shared", f"{UUIDS[0]}::7")]
    serve(Resources(name="main", devices=devices))
    found = await device_ids(POD, socket)
    assert found is not None
    assert [gpu.uuid for gpu in given.by_ids(gpus(), found)] == [UUIDS[0]]


async def test_the_dra_drivers_devices_are_known_by_their_number(
    serve: Serve, socket: Path
) -> None:
    claim = messages.DynamicResource(
        claim_name="gpu",
        claim_namespace="team",
        claim_resources=[
            messages.ClaimResource(driver_name="gpu.nvidia.com", device_name="gpu-1"),
            messages.ClaimResource(driver_name="nic.example.com", device_name="gpu-2"),
        ],
    )
    serve(Resources(name="main", dynamic_resources=[claim]))
    found = await device_ids(POD, socket)
    assert found == ["gpu-1"]
    assert [gpu.uuid for gpu in given.by_ids(gpus(), found)] == [UUIDS[1]]


async def test_a_container_without_devices_is_not_known(serve: Serve, socket: Path) -> None:
    serve(Resources(name="main"))
    assert await device_ids(POD, socket) is None


async def test_without_a_kubelet_nobody_tells(socket: Path) -> None:
    assert await device_ids(POD, socket) is None
