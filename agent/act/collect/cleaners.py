"""Cleaners made and ended."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from agent.act.collect import cleaner
from agent.act.collect.cleaner import Maker
from agent.act.collect.reach import Cleaner
from agent.act.node import Node
from agent.init import words
from agent.plan.checkpoint import CheckpointView
from agent.plan.reading import text
from agent.runtime.cri import targets
from chrek.errors import ChrekError
from chrek.kube.api import API
from chrek.kube.errors import AlreadyExistsError, APIError
from chrek.logs import event

_log = logging.getLogger("chrek.collect")
_NOT_FOUND: Final = 404
_ENDED: Final = ("Succeeded", "Failed")


class CleanerRefusedError(ChrekError):
    """The API server does not let a cleaner in: a quota, a policy, missing rights."""

    reason = "CleanerRefused"


async def make(api: API, claim: str, wanted: Sequence[CheckpointView], maker: Maker) -> None:
    """Have a cleaner of `claim` somewhere, unless there is one; raises APIError,
    CleanerRefusedError."""
    namespace, name = wanted[0].namespace, cleaner.name(claim)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    try:
        await api.create(pods, cleaner.pod(claim, wanted, maker))
    except AlreadyExistsError:
        await _replace_ended(api, f"{pods}/{name}", claim)
    except APIError as error:
        if error.passing:
            raise
        raise CleanerRefusedError(
            f"no pod can be made that mounts claim {claim}, to remove what is deleted: {error}",
            hint="It is removed as soon as any pod of chrek's that mounts the claim runs; to give "
            "the data up, take the finalizer chrek.io/data away",
        ) from error
    else:
        event(_log, logging.INFO, "cleaner made", pod=f"{namespace}/{name}", claim=claim)


async def end(node: Node, api: API, one: Cleaner) -> None:
    """It is not needed any more."""
    pod = one.pod
    container = node.containers.of(pod.uid, cleaner.CONTAINER)
    if container is not None and container.state == "running":
        with suppress(ChrekError):  # then the kubelet ends it
            words.tell(targets.target(await node.cri.status(container.id)), "exit 0")
    await api.delete(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", uid=pod.uid)
    event(_log, logging.INFO, "cleaner ended", pod=f"{pod.namespace}/{pod.name}")


async def _replace_ended(api: API, path: str, claim: str) -> None:
    """One that has ended holds the name; the next is made when it is gone."""
    try:
        found = await api.get(path)
    except APIError as error:
        if error.status == _NOT_FOUND:
            return
        raise
    if cleaner.claim_of(found) == claim and text(found, "status", "phase") in _ENDED:
        await api.delete(path, uid=text(found, "metadata", "uid"))
