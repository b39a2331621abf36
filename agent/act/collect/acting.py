"""One look at what is to be removed: it is done, or somebody is enabled to do it, or it waits."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from agent.act.collect import cleaners
from agent.act.collect.cleaner import Maker
from agent.act.collect.fate import Fates
from agent.act.collect.patience import Patience
from agent.act.collect.reach import Reach
from agent.act.collect.removing import remove
from agent.act.collect.saying import Sayings
from agent.act.collect.surplus import Claim, claim_of
from agent.act.collect.tasks import Task
from agent.act.node import Node, now
from agent.plan.checkpoint import CheckpointView
from agent.plan.held import is_held
from agent.store import removal
from chrek.kube.api import API
from chrek.logs import event

_log = logging.getLogger("chrek.collect")

_AT_ONCE: Final = 2
_CAPTURED_SECONDS: Final = 5.0
_ASKED_SECONDS: Final = 10.0


class Acting:
    """pending: all that is to be removed from a claim, so that one cleaner is made for it."""

    def __init__(
        self,
        node: Node,
        api: API,
        reach: Reach,
        maker: Maker,
        pending: Callable[[Claim], Iterable[CheckpointView]],
    ) -> None:
        self.sayings = Sayings(api, node.name)
        self._node = node
        self._api = api
        self._reach = reach
        self._maker = maker
        self._pending = pending
        self._fates = Fates(api)
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._asked: dict[Claim, float] = {}
        self._strangers: set[str] = set()

    async def look(self, task: Task, patience: Patience) -> float | None:
        """Seconds until another look, None once it is done; raises ChrekError."""
        if is_held(task.checkpoint.lease, now()):
            return _CAPTURED_SECONDS  # what captures it gives up, or its lease lapses
        await self._reach.refresh()
        if task.checkpoint.problem:  # a name that no data can have
            await self._done(task, task.checkpoint.problem)
            return None
        if self._reach.holds(*claim_of(task.checkpoint)):
            return await self._near(task, patience)
        return await self._far(task, patience)

    async def _near(self, task: Task, patience: Patience) -> float | None:
        if (left := patience.near_at - _time()) > 0:
            return left
        claim = claim_of(task.checkpoint)
        async with self._few, self._reach.attached(*claim) as place:
            in_use = await remove(place, task.checkpoint, task.is_meant, task.variants)
            await asyncio.to_thread(self._note_strangers, place, claim)
        await self._done(task, f"removed from claim {claim[1]}", in_use)
        if not in_use:
            return None
        await self.sayings.say(
            task.checkpoint, "Normal", "CheckpointInUse",
            f"{', '.join(in_use)}: restored from just now, and removed afterwards",
        )  # fmt: skip
        patience.failed(_time())
        return patience.near_at - _time()

    async def _far(self, task: Task, patience: Patience) -> float | None:
        if (left := patience.far_at - _time()) > 0:
            return left
        claim = claim_of(task.checkpoint)
        if gone := await self._fates.of(claim):
            await self.sayings.say(task.checkpoint, "Normal", gone.reason, gone.message)
            await self._done(task, gone.message)
            return None
        if _never_held(task.checkpoint):
            await self._done(task, "nothing was ever captured")
            return None
        if (left := patience.cleaner_at - _time()) > 0:
            return left
        # The next look is late, whether this succeeds or not.
        patience.asked(_time())
        if _time() - self._asked.get(claim, float("-inf")) > _ASKED_SECONDS:
            self._asked[claim] = _time()
            wanted = list(self._pending(claim)) or [task.checkpoint]
            await cleaners.make(self._api, claim[1], wanted, self._maker)
        return patience.far_at - _time()

    async def _done(self, task: Task, how: str, in_use: Sequence[str] = ()) -> None:
        await task.done(in_use)
        if in_use:
            return
        one = task.checkpoint
        event(
            _log, logging.INFO, "removed", checkpoint=f"{one.namespace}/{one.name}",
            variants="all" if task.variants is None else ",".join(sorted(task.variants)), how=how,
        )  # fmt: skip

    def _note_strangers(self, place: Path, claim: Claim) -> None:
        """What no Checkpoint tells of stays: nobody knows whose it is. But it takes room."""
        known = [each.name for each in self._node.memory.checkpoints(claim[0])]
        for name in removal.unknown(place, claim[0], known):
            shown = f"{claim[0]}/{claim[1]}/{claim[0]}/{name}"
            if shown not in self._strangers:
                self._strangers.add(shown)
                event(_log, logging.WARNING, "data without a Checkpoint", place=shown)


def _never_held(checkpoint: CheckpointView) -> bool:
    """Who captures takes the lease first, and what was published is in the list."""
    return not checkpoint.variants and checkpoint.lease is None and not checkpoint.trimmed


def _time() -> float:
    return asyncio.get_running_loop().time()
