"""What became of a workload's checkpoints: one that nobody restores costs and gives nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agent.plan.checkpoint import CheckpointView

IN_A_ROW: Final = 3
CHANCE: Final = timedelta(hours=1)
"""So long the newest must have waited: three changes of an image in an hour, and then a scale-up,
is normal use."""
AGAIN: Final = timedelta(days=7)
"""After that, one more: a workload may be used in another way by now."""


@dataclass(frozen=True, slots=True, order=True)
class _Capture:
    made: datetime
    restores: int


def never_restored(siblings: Sequence[CheckpointView], now: datetime) -> bool:
    """Whether the last three captures of a workload were in vain, and had the chance not to be.

    siblings: all Checkpoints of one workload. Each variant is a capture. Those that retention
    removed count as one more, restored as often as the Checkpoint has restores left over.
    """
    made = sorted(_captures(siblings), reverse=True)[:IN_A_ROW]
    if len(made) < IN_A_ROW or any(each.restores for each in made):
        return False
    return CHANCE <= now - made[0].made < AGAIN


def _captures(siblings: Sequence[CheckpointView]) -> Iterator[_Capture]:
    for checkpoint in siblings:
        for variant in checkpoint.variants:
            yield _Capture(variant.created, variant.restores)
        if checkpoint.trimmed:
            left = checkpoint.restores - sum(each.restores for each in checkpoint.variants)
            yield _Capture(checkpoint.created, max(left, 0))
