"""What every capture and restore of this node works with."""

from dataclasses import dataclass, field
from typing import Self

from agent.criu.bundle import Bundle
from agent.cuda.helper.client import Helper
from agent.settings import Settings
from agent.trust.keys import Keyring


@dataclass(frozen=True, slots=True)
class Means:
    """CRIU, the settings, the keys that checkpoints are signed and checked with, and what asks
    the GPU's driver: that runs only while a program with a GPU is worked on, and as `async with`
    block these means see it end."""

    bundle: Bundle
    settings: Settings
    keys: Keyring
    gpu: Helper = field(default_factory=Helper)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gpu.close()
