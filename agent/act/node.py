"""What every act of this node's agent works with."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from agent.act.report.checkpoints import CheckpointWriter
from agent.act.report.reporter import Reporter
from agent.engine.means import Means
from agent.metrics import Metrics
from agent.runtime.cri.client import CRI
from agent.runtime.cri.model import ImageConfig
from agent.watch.containers import Containers
from agent.watch.memory import Memory
from chrek.logs import event

_log = logging.getLogger("chrek.agent")
_MOST_IMAGES: Final = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """restores, captures: how many at once. idle_wait_seconds: so long a capture waits until no
    client is connected. keep: checkpoints of a workload. claim_bytes: of all checkpoints in one
    claim, 0 for no bound.
    """

    restores: int
    captures: int
    idle_wait_seconds: float
    keep: int
    claim_bytes: int


@dataclass(slots=True)
class Node:
    """name: the node's. group: ends with the agent; what need not be waited for goes there.
    restoring: containers that are restored now, or wait for their turn. fills: one copy to the node
    at a time. want_room: told of a namespace, a claim and a size for which there is no room.
    """

    name: str
    memory: Memory
    containers: Containers
    cri: CRI
    reporter: Reporter
    writer: CheckpointWriter
    means: Means
    metrics: Metrics
    limits: Limits
    group: asyncio.TaskGroup
    want_room: Callable[[str, str, int], None] = lambda *_: None
    restoring: int = 0
    fills: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1), init=False)
    restores: asyncio.Semaphore = field(init=False)
    captures: asyncio.Semaphore = field(init=False)
    _images: dict[str, ImageConfig] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.restores = asyncio.Semaphore(self.limits.restores)
        self.captures = asyncio.Semaphore(self.limits.captures)

    async def image(self, ref: str) -> ImageConfig:
        """An image by a Status's image_ref, which is one of its content; raises CRIError."""
        if ref not in self._images:
            if len(self._images) >= _MOST_IMAGES:
                self._images.clear()
            self._images[ref] = await self.cri.image(ref)
        return self._images[ref]

    def later(self, work: Coroutine[Any, Any, object]) -> None:
        """Do `work`, which handles its own errors, beside everything else: one that it does not
        know ends nothing else."""
        self.group.create_task(_logged(work))


async def _logged(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Exception as error:
        event(_log, logging.ERROR, "work failed", problem=repr(error))
        _log.debug("its trace", exc_info=error)


def now() -> datetime:
    """The time of the decisions that follow."""
    return datetime.now(UTC)
