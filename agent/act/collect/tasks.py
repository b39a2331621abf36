"""What is to be removed of one Checkpoint, whether it still is, and what the object says after."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from agent.act.collect.surplus import Surplus
from agent.act.node import Node, now
from agent.plan import checkpoint as views
from agent.plan import lease
from agent.plan.checkpoint import CheckpointView
from agent.plan.held import is_held
from chrek.kube.api import JSON


class Task(Protocol):
    """variants: which; None for all, and captures under way."""

    @property
    def checkpoint(self) -> CheckpointView: ...
    @property
    def variants(self) -> frozenset[str] | None: ...
    async def is_meant(self) -> bool:
        """Whether the object still says so; raises APIError."""

    async def done(self, in_use: Collection[str]) -> None:
        """The data is gone, but for what is `in_use`; raises APIError."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A Checkpoint that was deleted, and is held by its finalizer."""

    node: Node
    checkpoint: CheckpointView
    variants: Final[frozenset[str] | None] = None

    async def is_meant(self) -> bool:
        current = await _current(self.node, self.checkpoint)
        return (
            current is not None
            and current.deleting
            and current.finalized
            and not is_held(current.lease, now())
        )

    async def done(self, in_use: Collection[str]) -> None:
        one = self.checkpoint
        if not in_use:
            await self.node.writer.unfinalize(one.namespace, one.name, uid=one.uid)


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A Checkpoint with variants that are not kept."""

    node: Node
    checkpoint: CheckpointView
    surplus: Surplus

    @property
    def variants(self) -> frozenset[str]:
        return self.surplus.names

    async def is_meant(self) -> bool:
        current = await _current(self.node, self.checkpoint)
        return current is not None and self._is_of(current)

    async def done(self, in_use: Collection[str]) -> None:
        removed = self.variants - set(in_use)

        def change(found: JSON) -> JSON | None:
            if not self._is_of(views.parse(found)):
                return None
            return lease.dropped(
                found.get("status") or {},
                removed,
                reason=self.surplus.reason,
                message=f"{len(removed)} variants were removed: {self.surplus.why}",
                now=now(),
            )

        one = self.checkpoint
        await self.node.writer.decide(one.namespace, one.name, change)

    def _is_of(self, current: CheckpointView) -> bool:
        """A damaged variant may have been captured anew under its name, or one was restored."""
        return (
            current.uid == self.checkpoint.uid
            and not current.deleting
            and not is_held(current.lease, now())
            and all(e in self.surplus.variants for e in current.variants if e.name in self.variants)
        )


async def _current(node: Node, seen: CheckpointView) -> CheckpointView | None:
    """As it is now, unless it is another by now."""
    found = await node.writer.read(seen.namespace, seen.name)
    current = views.parse(found) if found is not None else None
    return current if current is not None and current.uid == seen.uid else None
