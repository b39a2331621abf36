"""Where a pod's checkpoints lie: the claim as the kubelet has mounted it for this pod."""

from agent.act.node import Node
from agent.plan.pod import PodView
from chrek.errors import StorageError
from chrek.pods import names


async def host_path(node: Node, pod: PodView) -> str:
    """The claim's directory on the host, as the runtime names it; raises StorageError, CRIError.

    Of the init container that mounts it, also when that has ended, or with a checkpoint image of
    the chosen container.
    """
    return await host_path_in(node, pod, mounting(pod))


def mounting(pod: PodView) -> str | None:
    """The container of a pod of chrek's that mounts its claim."""
    return names.INIT_CONTAINER if pod.in_init else pod.container


async def host_path_in(node: Node, pod: PodView, name: str | None) -> str:
    """The same of the pod's container `name`."""
    container = node.containers.of(pod.uid, name) if name else None
    if container is None:
        raise StorageError(
            f"the runtime knows no container {name} of pod {pod.namespace}/{pod.name}, so its "
            "claim cannot be found",
            hint="It comes with the next pod",
        )
    for mount in (await node.cri.status(container.id)).mounts:
        if mount.container_path == names.CLAIM_PATH:
            return mount.host_path
    raise StorageError(
        f"container {name} of pod {pod.namespace}/{pod.name} has nothing mounted at "
        f"{names.CLAIM_PATH}"
    )
