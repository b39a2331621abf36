"""Removes checkpoints: one serial worker a Checkpoint, which looks again after every change.

Every agent sees the same Checkpoints. Whoever has the claim mounted acts, the others only when
nobody did; what two do at once is done once (agent.store.removal, preconditions).
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from agent.act.collect import cleaners, objects
from agent.act.collect.acting import Acting
from agent.act.collect.cleaner import Maker
from agent.act.collect.patience import DELETED, ENDING, SURPLUS, Grace, Patience
from agent.act.collect.reach import Attach, Reach
from agent.act.collect.surplus import Claim, Surplus, claim_of, surplus
from agent.act.collect.tasks import Deleted, Trimmed
from agent.act.node import Node
from agent.claims.attach import attached
from agent.plan.checkpoint import CheckpointView
from agent.watch.memory import Key
from agent.watch.workers import GoneError, Workers
from chrek.errors import ChrekError
from chrek.kube.api import API
from chrek.logs import event

_log = logging.getLogger("chrek.collect")

Look = Callable[[Patience], Awaitable[float | None]]
"""Seconds until another look, None for when something changes; raises ChrekError."""

_SURVEY_SECONDS: Final = (45.0, 75.0)
_TOGETHER_SECONDS: Final = 2.0
"""Changes come in crowds; so long the first of them waits for the others."""
_ROOM_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """init_image: of cleaners. release_namespace: where the agents' pods are. deleted, surplus:
    how long each waits."""

    init_image: str
    release_namespace: str
    deleted: Grace = DELETED
    surplus: Grace = SURPLUS


class Collector:
    """Of one agent. Nothing is done before `run`, which is for when the watches have listed."""

    def __init__(
        self, node: Node, api: API, settings: Settings, *, attach: Attach = attached
    ) -> None:
        self._node = node
        self._api = api
        self._reach = Reach(node, api, attach)
        maker = Maker(node.name, settings.release_namespace, settings.init_image)
        self._acting = Acting(node, api, self._reach, maker, self._pending)
        self._settings = settings
        self._workers: Workers | None = None
        self._surplus: dict[Claim, dict[str, Surplus]] = {}
        self._patience: dict[Key, Patience] = {}
        self._room: dict[Claim, tuple[int, float]] = {}
        self._changed = asyncio.Event()
        self._survey_due = True

    def wake(self, key: Key) -> None:
        """This Checkpoint has changed."""
        self._survey_due = True
        self._changed.set()
        if self._workers:
            self._workers.wake("/".join(key))

    def note_pods(self) -> None:
        """A pod or a container of this node has changed: a claim may be at hand now."""
        self._changed.set()
        if self._workers:
            for key in self._patience:
                self._workers.wake("/".join(key))

    def want_room(self, namespace: str, claim: str, size_bytes: int) -> None:
        """A capture of this size waits for room on the claim."""
        until = _time() + _ROOM_SECONDS
        self._room[namespace, claim] = size_bytes, until
        self._survey_due = True
        self._changed.set()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Until cancelled."""
        self._workers = Workers(self._handle, group)
        for each in self._node.memory.checkpoints():
            self.wake((each.namespace, each.name))
        while True:
            self._changed.clear()
            try:
                if self._survey_due:
                    self._survey_due = False
                    self._survey()
                await self._end_cleaners()
            except ChrekError as error:
                event(_log, logging.WARNING, error.reason, problem=error)
            except Exception as error:  # what one object holds must not end the agent
                event(_log, logging.ERROR, "survey failed", problem=repr(error))
                _log.debug("its trace", exc_info=error)
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(*_SURVEY_SECONDS)):  # noqa: S311
                    await self._changed.wait()
                    await asyncio.sleep(_TOGETHER_SECONDS)
                    continue
            self._survey_due = True

    def _survey(self) -> None:
        """Count, and find out what is too much."""
        found = self._node.memory.checkpoints()
        self._node.metrics.checkpoints(Counter(each.phase for each in found))
        moment = _time()
        self._room = {claim: room for claim, room in self._room.items() if room[1] > moment}
        room_bytes = {claim: size_bytes for claim, (size_bytes, _) in self._room.items()}
        before, self._surplus = self._surplus, surplus(self._node, found, room_bytes)
        for claim in self._surplus.keys() | before.keys():
            now, then = self._surplus.get(claim, {}), before.get(claim, {})
            for name in {name for name, _ in now.items() ^ then.items()}:
                if self._workers:
                    self._workers.wake(f"{claim[0]}/{name}")

    async def _end_cleaners(self) -> None:
        await self._reach.refresh()
        for one in self._reach.cleaners():
            pod = one.pod
            is_needed = any(self._pending((pod.namespace, one.claim))) and not pod.ended
            if not pod.deleting and not is_needed:
                await cleaners.end(self._node, self._api, one)

    def _pending(self, claim: Claim) -> Iterator[CheckpointView]:
        """Checkpoints of which something is to be removed from a claim."""
        surplus = self._surplus.get(claim, {})
        for each in self._node.memory.checkpoints(claim[0]):
            if claim_of(each) == claim and (
                (each.deleting and each.finalized)
                or (each.name in surplus and surplus[each.name].variants)
            ):
                yield each

    async def _handle(self, key: str) -> float | None:
        namespace, _, name = key.partition("/")
        found = self._node.memory.checkpoint(namespace, name)
        if found is None:
            self._patience.pop((namespace, name), None)
            raise GoneError(key)
        look, grace = self._wanted(found)
        if look is None:
            self._patience.pop((namespace, name), None)
            return None
        patience = self._patience_of(found, grace)
        try:
            return await look(patience)
        except ChrekError as error:
            if patience.failures or not error.retry:  # else it is most likely over soon
                await self._acting.sayings.say(found, "Warning", error.reason, str(error))
            patience.failed(_time())
            return patience.near_at - _time()

    def _wanted(self, found: CheckpointView) -> tuple[Look | None, Grace]:
        """What is to be done with a Checkpoint as it is now."""
        node = self._node
        excess = self._surplus.get(claim_of(found), {}).get(found.name)
        if found.finalized and node.memory.ending(found.namespace):
            return partial(objects.let_go, node, found), ENDING
        if found.deleting:
            look = partial(self._acting.look, Deleted(node, found))
            return look if found.finalized else None, self._settings.deleted
        if excess and excess.variants:
            return partial(self._acting.look, Trimmed(node, found, excess)), self._settings.surplus
        if excess and excess.whole:
            return partial(objects.delete, node, found, excess.why), self._settings.surplus
        return None, self._settings.surplus

    def _patience_of(self, found: CheckpointView, grace: Grace) -> Patience:
        key = (found.namespace, found.name)
        known = self._patience.get(key)
        if known is None or known.uid != found.uid or known.grace != grace:
            known = self._patience[key] = Patience(found.uid, grace, _time())
        return known


def _time() -> float:
    return asyncio.get_running_loop().time()
