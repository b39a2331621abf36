"""What is stored beyond what is kept, of all that this agent knows of."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.act.node import Node, now
from agent.plan import retention
from agent.plan.checkpoint import CheckpointView, VariantView
from agent.plan.retention import Drop
from chrek.pods import names

Claim = tuple[str, str]
"""Namespace and name of a PersistentVolumeClaim."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """Of one Checkpoint. variants: to be removed with their data, as they were when that was found
    out. whole: the object is to be deleted, and holds no data then."""

    variants: frozenset[VariantView]
    whole: bool
    reason: str
    why: str

    @property
    def names(self) -> frozenset[str]:
        """Of the variants."""
        return frozenset(each.name for each in self.variants)


def claim_of(checkpoint: CheckpointView) -> Claim:
    """Where its data lies."""
    return checkpoint.namespace, checkpoint.claim or names.DEFAULT_CLAIM


def surplus(
    node: Node, checkpoints: Sequence[CheckpointView], room_bytes: dict[Claim, int]
) -> dict[Claim, dict[str, Surplus]]:
    """By claim and by name of the Checkpoint. room_bytes: what is to come on a claim."""
    together: dict[Claim, list[CheckpointView]] = defaultdict(list)
    for each in checkpoints:
        together[claim_of(each)].append(each)
    busy = _restored_now(node)
    moment = now()
    return {
        claim: _by_name(
            {each.name: each for each in found},
            retention.surplus(
                found,
                moment,
                node.limits.keep,
                node.limits.claim_bytes,
                in_use={name for namespace, name in busy if namespace == claim[0]},
                room_bytes=room_bytes.get(claim, 0),
            ),
        )
        for claim, found in together.items()
    }


def _restored_now(node: Node) -> set[tuple[str, str]]:
    """Checkpoints that placeholders of this node may be about to read; those of other nodes hold
    locks once they do."""
    return {
        (pod.namespace, pod.checkpoint_id)
        for pod in node.memory.pods()
        if pod.checkpoint_id and pod.role == names.PLACEHOLDER and not (pod.ready or pod.ended)
    }


def _by_name(
    checkpoints: Mapping[str, CheckpointView], drops: Sequence[Drop]
) -> dict[str, Surplus]:
    found: dict[str, Surplus] = {}
    for drop in drops:
        before = found.get(drop.checkpoint)
        listed = checkpoints[drop.checkpoint].variants
        dropped = frozenset(each for each in listed if each.name in drop.variants)
        found[drop.checkpoint] = Surplus(
            dropped | (before.variants if before else frozenset()),
            drop.whole or (before.whole if before else False),
            before.reason if before else drop.reason,
            before.why if before else drop.why,
        )
    return found
