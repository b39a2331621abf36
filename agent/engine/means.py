"""What every capture and restore of this node works with."""

from dataclasses import dataclass

from agent.criu.bundle import Bundle
from agent.settings import Settings
from agent.trust.keys import Keyring


@dataclass(frozen=True, slots=True)
class Means:
    """CRIU, the settings, and the keys that checkpoints are signed and checked with."""

    bundle: Bundle
    settings: Settings
    keys: Keyring
