"""What every capture and restore of this node works with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from agent.criu.bundle import Bundle
from agent.cuda.helper.client import Helper
from agent.cuda.hostmemory import Promised
from agent.runtime.target import PodName
from agent.settings import Settings
from agent.store.nodecache import NodeCache
from agent.trust.keys import Keyring

DeviceIDs = Callable[[PodName], Awaitable[list[str] | None]]


async def _nobody_tells(_: PodName) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Means:
    """CRIU, the settings, the keys that checkpoints are signed and checked with, and what asks
    the GPU's driver: that runs only while a program with a GPU is worked on, and as `async with`
    block these means see it end. device_ids: in a cluster, who tells which devices a container
    was given (agent.cuda.podresources). promised: host memory that operations under way take.
    cache: the node's own directory for checkpoints; None where there is none."""

    bundle: Bundle
    settings: Settings
    keys: Keyring
    gpu: Helper = field(default_factory=Helper)
    device_ids: DeviceIDs = _nobody_tells
    promised: Promised = field(default_factory=Promised)
    cache: NodeCache | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gpu.close()
