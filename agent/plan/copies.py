"""Which of the node's copies of checkpoints nobody will restore from any more."""

from datetime import datetime
from typing import NamedTuple

from agent.plan.checkpoint import CheckpointView
from agent.plan.held import is_held


class CopyView(NamedTuple):
    """created: when the checkpoint was made, None where the copy does not tell."""

    namespace: str
    identifier: str
    variant: str
    created: datetime | None


def needless(copy: CopyView, checkpoint: CheckpointView | None, now: datetime) -> bool:
    """Whether the checkpoint is removed, damaged, or another in its place. checkpoint: the one of
    that name. While somebody captures for it, what it lists may be about to change.
    """
    if checkpoint is None or checkpoint.deleting:
        return True
    if is_held(checkpoint.lease, now):
        return False
    return not any(
        (listed.name, listed.created) == (copy.variant, copy.created) for listed in checkpoint.ready
    )
