"""Devices of a container, as the kubelet's PodResources API lists them.

https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from agent.cuda.podresources import podresources_pb2 as messages
from agent.runtime.cri.calls import Connection
from agent.runtime.cri.errors import CRIError
from agent.runtime.target import PodName
from chrek.logs import event

MOUNTED = Path("/host/pod-resources/kubelet.sock")
"""As the chart mounts it, wherever the kubelet has its directory."""

_log = logging.getLogger("chrek.cuda")
_SECONDS = 5.0
_NVIDIA = "nvidia.com/"
_DRA_DRIVER = "gpu.nvidia.com"


async def device_ids(pod: PodName, socket: Path = MOUNTED) -> list[str] | None:
    """The ids of NVIDIA's devices that the container was given: GPUs' UUIDs from the device
    plugin, names such as `gpu-0` (0: of /dev/nvidia0) from the DRA driver.

    None: nobody tells, or none of NVIDIA's. Ids of other drivers are left out.
    """
    if not socket.is_socket():  # noqa: ASYNC240 - of this node
        return None
    try:
        async with Connection(socket, socket) as connection:
            answer = await connection.send(
                "/v1.PodResourcesLister/List",
                messages.ListPodResourcesRequest(),
                messages.ListPodResourcesResponse,
                _SECONDS,
            )
    except CRIError as error:
        # What the container sees tells the same in all but odd clusters.
        event(_log, logging.WARNING, "the kubelet does not tell devices", why=error.message)
        return None
    return list(_of(answer, pod)) or None


def _of(answer: messages.ListPodResourcesResponse, pod: PodName) -> Iterator[str]:
    for each in answer.pod_resources:
        if (each.namespace, each.name) != (pod.namespace, pod.name):
            continue
        for container in each.containers:
            if container.name != pod.container:
                continue
            for given in container.devices:
                if given.resource_name.startswith(_NVIDIA):
                    yield from given.device_ids
            for dynamic in container.dynamic_resources:
                for claimed in dynamic.claim_resources:
                    if claimed.driver_name == _DRA_DRIVER:
                        yield claimed.device_name
