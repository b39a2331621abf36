"""Checkpoint objects that go without their data: they hold none, or it goes another way."""

import asyncio
import logging

from agent.act.collect.patience import Patience
from agent.act.node import Node
from agent.plan.checkpoint import CheckpointView
from chrek.logs import event

_log = logging.getLogger("chrek.collect")


async def let_go(node: Node, found: CheckpointView, patience: Patience) -> float | None:
    """Of a namespace that ends: the claim goes with it, and nothing of chrek's may hold it up.
    Raises APIError."""
    if (left := patience.near_at - _time()) > 0:
        return left
    await node.writer.unfinalize(found.namespace, found.name, uid=found.uid)
    _say("let go", found, "its namespace ends")
    return None


async def delete(node: Node, found: CheckpointView, why: str, patience: Patience) -> float | None:
    """One that holds nothing; another agent may be quicker. Raises APIError."""
    if (left := patience.near_at - _time()) > 0:
        return left
    version = found.version
    if await node.writer.delete(found.namespace, found.name, uid=found.uid, version=version):
        _say("deleted", found, why)
    return None  # or it has changed: then it is looked at again


def _say(what: str, found: CheckpointView, why: str) -> None:
    event(_log, logging.INFO, what, checkpoint=f"{found.namespace}/{found.name}", why=why)


def _time() -> float:
    return asyncio.get_running_loop().time()
