"""What is stored of a namespace and claim and is not kept: by age, by number, by room.

Newest means of use most lately: made, or restored. What serves restores is what is wanted, also
where it was made long ago, as after a rollback.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agent.plan.checkpoint import CheckpointView, VariantView
from agent.plan.held import is_held

DAMAGED: Final = timedelta(days=1)
"""So long a damaged variant lies there for a person to look at."""
EMPTY: Final = timedelta(days=30)
"""So long a Checkpoint of chrek's own is kept that holds nothing: it may be Failed, or tell what
an image runs."""
_REMEMBERED: Final = 3
"""So many Checkpoints of a workload stay, if without data: agent.plan.history looks at them."""


@dataclass(frozen=True, slots=True)
class Drop:
    """variants: of this Checkpoint, to be removed with their data. whole: the object too.
    reason, why: for the condition of what is left, and for the log.
    """

    checkpoint: str
    variants: tuple[str, ...]
    whole: bool
    reason: str
    why: str


def surplus(
    checkpoints: Sequence[CheckpointView],
    now: datetime,
    keep: int,
    claim_bytes_limit: int,
    *,
    in_use: Set[str],
    room_bytes: int = 0,
) -> list[Drop]:
    """What to remove, in this order. Applied, it leaves nothing to remove.

    checkpoints: all of one namespace and one claim. keep: how many Checkpoints of a workload, and
    how many variants of a Checkpoint on each kind of node, unless it says so itself.
    claim_bytes_limit: of all of them, 0 for no bound. in_use: names of Checkpoints that are
    restored from just now; what is captured for is left alone as well. room_bytes: for what is to
    come.
    """
    mine = [each for each in checkpoints if not each.deleting and not each.problem]
    mine.sort(key=lambda each: each.name)
    left = _Left(mine, frozenset(in_use) | {e.name for e in mine if is_held(e.lease, now)})
    left.drop(_of_age(left, now))
    left.drop(_of_number(left, max(keep, 1)))
    left.drop(_of_workload(left, max(keep, 1)))
    if claim_bytes_limit:
        left.drop(_of_room(left, claim_bytes_limit - room_bytes))
    left.drop(_empty(left, max(keep, _REMEMBERED), now))
    return left.drops


class _Left:
    """What is left of the Checkpoints while it is decided what goes."""

    def __init__(self, checkpoints: Sequence[CheckpointView], in_use: Set[str]) -> None:
        self.all = {each.name: each for each in checkpoints}
        self.in_use = in_use
        self.drops: list[Drop] = []

    @property
    def free(self) -> list[CheckpointView]:
        """Those that may be touched."""
        return [each for each in self.all.values() if each.name not in self.in_use]

    def drop(self, found: Iterable[Drop]) -> None:
        for one in found:
            self.drops.append(one)
            before = self.all[one.checkpoint]
            kept = tuple(each for each in before.variants if each.name not in one.variants)
            self.all[one.checkpoint] = replace(before, variants=kept, trimmed=True)
            if one.whole:
                del self.all[one.checkpoint]


def workload_of(checkpoint: CheckpointView) -> str:
    """What it shares retention with. One that a person named is kept for itself."""
    own = f"Checkpoint/{checkpoint.name}"
    return (checkpoint.workload or own) if checkpoint.auto else own


def used(checkpoint: CheckpointView) -> datetime:
    """When it was last of use."""
    return max((each.used for each in checkpoint.variants), default=checkpoint.created)


def _of_age(left: _Left, now: datetime) -> Iterator[Drop]:
    for checkpoint in left.free:
        ttl = checkpoint.ttl_seconds
        age = {each.name: now - each.used for each in checkpoint.variants}
        if ttl is not None:
            old = [name for name, unused in age.items() if unused.total_seconds() > ttl]
            yield from _drop(checkpoint, old, "Expired", f"unused for longer than {ttl} s")
        bad = [e.name for e in checkpoint.variants if e.phase != "Ready" and age[e.name] > DAMAGED]
        gone = set(old) if ttl is not None else set()
        bad = [name for name in bad if name not in gone]
        yield from _drop(checkpoint, bad, "Damaged", "damaged for more than a day")


def _of_number(left: _Left, keep: int) -> Iterator[Drop]:
    """Within a Checkpoint. Nodes of another kind need variants of their own, so without a number
    of its own `keep` counts for each kind.
    """
    for checkpoint in left.free:
        most = checkpoint.keep or keep
        kinds: dict[tuple[str, ...], list[VariantView]] = defaultdict(list)
        for each in checkpoint.ready:
            kind = (each.architecture, each.cpu_model, each.gpu_product)
            kinds[() if checkpoint.keep else kind].append(each)
        old = [each.name for found in kinds.values() for each in _by_use(found)[most:]]
        why = f"{most} newer ones are kept (spec.keep, or the agent's --keep)"
        yield from _drop(checkpoint, old, "Superseded", why)


def _of_workload(left: _Left, keep: int) -> Iterator[Drop]:
    """Checkpoints of earlier pod templates of a workload; those named by a person are not counted.

    Only what can be restored counts, so the last of it is never dropped.
    """
    for workload, found in _workloads(left.all.values()):
        stored = [each for each in found if each.ready]
        stored.sort(key=lambda each: (used(each), each.name), reverse=True)
        for checkpoint in stored[keep:]:
            if checkpoint.name not in left.in_use:
                listed = [each.name for each in checkpoint.variants]
                why = f"{keep} newer Checkpoints of {workload} are kept (the agent's --keep)"
                yield from _drop(checkpoint, listed, "Superseded", why)


def _of_room(left: _Left, limit: int) -> Iterator[Drop]:
    """The least lately used first, but for the newest of each workload."""
    total = sum(each.size_bytes for each in left.all.values())
    newest = {
        max(listed)[1:]
        for _, found in _workloads(left.all.values())
        if (listed := [(v.used, c.name, v.name) for c in found for v in c.ready])
    }
    candidates = sorted(
        (
            (variant.phase == "Ready", variant.used, checkpoint.name, variant.name)
            for checkpoint in left.free
            for variant in checkpoint.variants
            if (checkpoint.name, variant.name) not in newest
        ),
    )
    for *_, name, variant_name in candidates:
        if total <= limit:
            return
        checkpoint = left.all[name]
        total -= next(v.size_bytes for v in checkpoint.variants if v.name == variant_name)
        why = f"the claim may hold {limit} bytes of checkpoints and what is to come"
        yield from _drop(checkpoint, [variant_name], "ClaimFull", why)


def _empty(left: _Left, remembered: int, now: datetime) -> Iterator[Drop]:
    """Checkpoints of chrek's own without data: superseded long ago, or of nothing for long."""
    for _, found in _workloads(left.all.values()):
        found.sort(key=lambda each: (used(each), each.name), reverse=True)
        for place, checkpoint in enumerate(found):
            if checkpoint.variants or checkpoint.name in left.in_use or not checkpoint.auto:
                continue
            is_superseded = checkpoint.trimmed and place >= remembered
            if is_superseded or now - _touched(checkpoint) > EMPTY:
                why = "nothing is stored of it any more"
                yield Drop(checkpoint.name, (), whole=True, reason="Empty", why=why)


def _touched(checkpoint: CheckpointView) -> datetime:
    lease = checkpoint.lease
    times = (lease.retry_after, lease.renewed) if lease else ()
    return max([checkpoint.created, *(each for each in times if each)])


def _workloads(
    checkpoints: Iterable[CheckpointView],
) -> Iterator[tuple[str, list[CheckpointView]]]:
    found: dict[str, list[CheckpointView]] = defaultdict(list)
    for each in checkpoints:
        found[workload_of(each)].append(each)
    yield from sorted(found.items())


def _by_use(variants: Iterable[VariantView]) -> list[VariantView]:
    return sorted(variants, key=lambda each: (each.used, each.name), reverse=True)


def _drop(
    checkpoint: CheckpointView, variants: Sequence[str], reason: str, why: str
) -> Iterator[Drop]:
    if variants:
        yield Drop(checkpoint.name, tuple(sorted(variants)), whole=False, reason=reason, why=why)
