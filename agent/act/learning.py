"""Learn what an image runs, so that the next pod of it that names no command can be wrapped."""

import logging

from agent.act.life import Life, Running
from agent.act.node import Node, now
from agent.plan import lease
from agent.plan.pod import PodView
from agent.runtime.cri.model import Container, ImageConfig
from chrek.kube.api import JSON
from chrek.logs import event

_log = logging.getLogger("chrek.learn")


async def learn(node: Node, pod: PodView, container: Container, life: Life) -> None:
    """Record the command of an annotated pod's image in its Checkpoint; raises ChrekError."""
    if life.decided == container.id:
        return
    name, chosen = pod.checkpoint_id, pod.chosen
    assert name is not None
    assert chosen is not None
    status = await node.cri.status(container.id)
    config = await node.image(status.image_ref)
    image = chosen.image
    await node.writer.ensure(pod, name)
    await node.writer.update(pod.namespace, name, lambda before: _learned(before, image, config))
    life.decided = container.id
    command = " ".join([*config.entrypoint, *config.cmd])
    event(_log, logging.INFO, "learned", image=image, command=command, checkpoint=name)
    node.reporter.event(
        pod, "Normal", "CommandLearned",
        f"the command of image {image} is known now; this pod stays as it is, the next one of its "
        "kind is taken on: kubectl rollout restart, or delete this pod",
    )  # fmt: skip


async def compare(node: Node, pod: PodView, running: Running) -> None:
    """Learn anew where a tag has moved since its command was learned."""
    if not pod.command_of_image or pod.checkpoint_id is None or pod.chosen is None:
        return
    image, digest = pod.chosen.image, running.here.image_digest
    checkpoint = node.memory.checkpoint(pod.namespace, pod.checkpoint_id)
    known = {one.image: one.digest for one in checkpoint.images} if checkpoint else {}
    if known.get(image, digest) == digest:
        return
    config = await node.image(running.status.image_ref)
    await node.writer.update(
        pod.namespace, pod.checkpoint_id, lambda before: _learned(before, image, config)
    )
    node.reporter.event(
        pod, "Warning", "ImageMoved",
        f"{image} is another image than the one whose command this pod runs; the next pod runs "
        "the new one's",
    )  # fmt: skip


def _learned(before: JSON, image: str, config: ImageConfig) -> JSON | None:
    return lease.learned(
        before,
        image=image,
        digest=config.digest,
        entrypoint=config.entrypoint,
        cmd=config.cmd,
        now=now(),
    )
