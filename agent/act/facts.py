"""What must be known of a running container before anything is decided about it."""

from agent.act.life import Running
from agent.act.node import Node
from agent.kernel import cpu
from agent.plan.environment import environment_hash
from agent.plan.fit import Here
from agent.plan.pod import PodView
from agent.runtime.cri import targets
from agent.runtime.cri.model import Container, Status


async def running(node: Node, pod: PodView, container: Container) -> Running:
    """Facts of a running container; raises CRIError, TargetGoneError."""
    status = await node.cri.status(container.id)
    target = targets.target(status)
    return Running(status, target, await _here(node, pod, status))


async def _here(node: Node, pod: PodView, status: Status) -> Here:
    process = status.runtime_spec.get("process") or {}
    got = [word for word in process.get("env") or [] if isinstance(word, str)]
    image = await node.image(status.image_ref)
    return Here(
        architecture=cpu.architecture(),
        image_digest=image.digest,
        environment_hash=environment_hash(pod, got, image.env),
    )
