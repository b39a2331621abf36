"""What every capture and restore of this node works with."""

from dataclasses import dataclass

from agent.criu.bundle import Bundle
from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class Means:
    """CRIU and the settings."""

    bundle: Bundle
    settings: Settings
