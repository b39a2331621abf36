"""What a task has, and what a container was given. Values only."""

from dataclasses import dataclass
from typing import Final

from agent.trust.labels import Label

Limit = tuple[int, int]
"""A resource limit, soft and hard."""

UNLIMITED: Final = (1 << 64) - 1
RLIMIT_NICE: Final = 13
RLIMIT_RTPRIO: Final = 14


@dataclass(frozen=True, slots=True)
class Credentials:
    """who: the task, for messages. uids, gids: real, effective, saved, file system. Sets of
    capabilities as bits. secure_bits: 0 where they cannot be known."""

    who: str
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: tuple[int, ...]
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    no_new_privileges: bool
    secure_bits: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """Of its PID 1. limits: by RLIMIT_ number. filters: its seccomp programs, oldest first. label:
    of AppArmor or SELinux; own_label: that of this process, which CRIU and all that it makes
    inherit."""

    credentials: Credentials
    limits: tuple[Limit, ...]
    nice: int
    oom_score_adj: int
    filters: tuple[bytes, ...]
    label: Label
    own_label: Label

    @property
    def ceiling(self) -> int:
        """Capabilities that a process there can get: without no_new_privs by a program with
        file capabilities or the set-uid bit, all that the bounding set lets through."""
        held = self.credentials
        return held.permitted if held.no_new_privileges else held.permitted | held.bounding

    def may(self, capability: int) -> bool:
        """Whether a process there can get this capability."""
        return bool(self.ceiling & capability)
