"""Writes Checkpoint objects: agents of several nodes do so at once, and none's word is lost."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final
from weakref import WeakValueDictionary

from agent.act.report import leases
from agent.act.report.making import begun, collection, lacking, new, path
from agent.act.report.patience import persist
from agent.act.report.status import Change, StatusChange
from agent.plan.checkpoint import FINALIZER, CheckpointView
from agent.plan.pod import PodView
from chrek.kube.api import API, JSON
from chrek.kube.errors import APIError, ConflictError
from chrek.logs import event

_log = logging.getLogger("chrek.report")

PATIENCE_SECONDS: Final = 60.0
_NOT_FOUND: Final = 404


class CheckpointWriter:
    """Every method reads first, tries again after conflicts and while the API server is away, and
    after `patience_seconds` raises APIError."""

    def __init__(self, api: API) -> None:
        self._api = api
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def read(self, namespace: str, name: str) -> JSON | None:
        """The object as it is now."""
        try:
            return await self._api.get(path(namespace, name))
        except APIError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def ensure(
        self, pod: PodView, name: str, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> JSON:
        """The Checkpoint `name` of this pod, made if there is none, completed if a person made
        it. One that is being deleted is left as it is."""

        async def attempt() -> JSON:
            found = await self.read(pod.namespace, name)
            if found is None:
                found = await self._api.create(collection(pod.namespace), new(pod, name))
                shown = f"{pod.namespace}/{name}"
                event(_log, logging.INFO, "checkpoint made", checkpoint=shown, of=pod.workload)
            elif lacks := lacking(pod, found):
                found = await self._api.patch(path(pod.namespace, name), lacks)
            return found

        found = await persist(attempt, patience_seconds)
        if (found.get("status") or {}).get("phase"):
            return found
        generation = found["metadata"].get("generation")
        began = await self.update(
            pod.namespace,
            name,
            # Of a name of the user's own the first pod that is captured decides.
            lambda status: begun(status, pod.identity if name == pod.identity else "", generation),
            patience_seconds=patience_seconds,
        )
        return began or found

    async def update(
        self,
        namespace: str,
        name: str,
        change: Change,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> JSON | None:
        """The object as stored; None if there is none (any more), or `change` left it."""
        return await self.decide(
            namespace,
            name,
            lambda found: change(found.get("status") or {}),
            patience_seconds=patience_seconds,
        )

    async def decide(
        self,
        namespace: str,
        name: str,
        change: Change,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> JSON | None:
        """As `update`, but `change` is given the whole object, and still returns its status."""
        write = StatusChange(self._api, path(namespace, name), change)
        lock = self._locks.setdefault(write.path, asyncio.Lock())

        async def attempt() -> JSON | None:
            async with lock:  # of this agent's own writes none is in another's way
                return await write.attempt(await self.read(namespace, name))

        return await persist(attempt, patience_seconds)

    async def note(
        self, namespace: str, name: str, change: Change, *, patience_seconds: float = 600.0
    ) -> None:
        """As `update`, for what must hold up or end nothing: a failure is only logged."""
        try:
            await self.update(namespace, name, change, patience_seconds=patience_seconds)
        except APIError as error:
            shown = f"{namespace}/{name}"
            event(_log, logging.WARNING, "report lost", checkpoint=shown, why=error)

    def leased(
        self,
        pod: PodView,
        name: str,
        node: str,
        *,
        wanted: Callable[[CheckpointView], bool] = lambda _: True,
    ) -> AbstractAsyncContextManager[JSON | None]:
        """The lease of Checkpoint `name` for a capture of `pod`, renewed until the block is left;
        None if another has it, or there is no such Checkpoint, or it is not `wanted` as it is
        when the lease is taken. LeaseLostError ends the block if another takes it."""
        return leases.leased(self, pod, name, node, wanted)

    async def unfinalize(
        self,
        namespace: str,
        name: str,
        *,
        uid: str,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Its data is gone: let a Checkpoint that is being deleted go."""

        async def attempt() -> None:
            found = await self.read(namespace, name)
            if found is None or found["metadata"]["uid"] != uid:
                return
            finalizers = found["metadata"].get("finalizers") or []
            if FINALIZER not in finalizers:
                return
            members = {
                "resourceVersion": found["metadata"]["resourceVersion"],
                "finalizers": [each for each in finalizers if each != FINALIZER],
            }
            try:
                await self._api.patch(path(namespace, name), {"metadata": members})
            except APIError as error:
                if error.status != _NOT_FOUND:
                    raise

        await persist(attempt, patience_seconds)

    async def delete(
        self,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        version: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> bool:
        """Have it deleted; its finalizer holds it until its data is. False if it is not the one
        any more that was to be deleted, but another, or changed."""

        async def attempt() -> bool:
            try:
                await self._api.delete(path(namespace, name), uid=uid, version=version)
            except ConflictError:
                return False
            return True

        return await persist(attempt, patience_seconds)
