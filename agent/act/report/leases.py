"""The lease of a Checkpoint while its source is captured: agents of several nodes want it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from agent.act.report.status import Change
from agent.plan import checkpoint, held, lease
from agent.plan.checkpoint import CheckpointView, Lease
from agent.plan.pod import PodView
from chrek.errors import BusyError
from chrek.kube.api import JSON
from chrek.kube.errors import APIError
from chrek.logs import event

if TYPE_CHECKING:
    from agent.act.report.checkpoints import CheckpointWriter

_log = logging.getLogger("chrek.lease")

_TAKING_SECONDS: Final = 10.0
_GIVING_UP_SECONDS: Final = 3.0
"""An agent that ends has not much longer; the lease runs out by itself."""


class LeaseLostError(BusyError):
    """Another agent took the lease of this capture, or its Checkpoint is being deleted."""

    reason = "LeaseLost"


@asynccontextmanager
async def leased(
    writer: "CheckpointWriter",
    pod: PodView,
    name: str,
    node: str,
    wanted: Callable[[CheckpointView], bool],
) -> AsyncIterator[JSON | None]:
    """As CheckpointWriter.leased. While nobody answers the block goes on: then nobody can take
    the lease either."""
    ours = _Ours(writer, pod, name, node)
    if (taken := await ours.take(wanted)) is None:
        yield None
        return
    body = asyncio.current_task()
    assert body is not None
    cancelled_before = body.cancelling()
    renewing = asyncio.create_task(ours.renew(body))
    try:
        yield taken
    except BaseException as error:
        if ours.lost and body.uncancel() <= cancelled_before:
            raise ours.lost from error
        raise
    else:
        if ours.lost:  # and the block was done all the same
            body.uncancel()
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
        await ours.give_up()


class _Ours:
    """lost: why it is not held any more, though nobody gave it up."""

    def __init__(self, writer: "CheckpointWriter", pod: PodView, name: str, node: str) -> None:
        self.lost: LeaseLostError | None = None
        self._writer = writer
        self._pod = pod
        self._name = name
        self._node = node
        self._shown = f"{pod.namespace}/{name}"

    async def take(self, wanted: Callable[[CheckpointView], bool]) -> JSON | None:
        def change(found: JSON) -> JSON | None:
            view = checkpoint.parse(found)
            if view.deleting or not wanted(view):
                return None
            now = datetime.now(UTC)
            return lease.taken(_status(found), node=self._node, pod=self._pod, now=now)

        return await self._decide(change, _TAKING_SECONDS)

    async def renew(self, body: asyncio.Task[object]) -> None:
        """Until it is lost, and then `body` is cancelled, or given up."""
        found: LeaseLostError | bool = True
        while found is True:
            await asyncio.sleep(held.RENEW_SECONDS)
            try:
                found = await self._renewed()
            except APIError as error:
                event(
                    _log, logging.WARNING, "lease not renewed",
                    checkpoint=self._shown, problem=error,
                )  # fmt: skip
        if isinstance(found, LeaseLostError):
            event(_log, logging.WARNING, "lease lost", checkpoint=self._shown, why=found)
            self.lost = found
            body.cancel()

    async def _renewed(self) -> LeaseLostError | bool:
        """False: the block has given it up, and there is nothing to renew."""
        seen: LeaseLostError | bool = self._deleted()

        def change(found: JSON) -> JSON | None:
            nonlocal seen
            view = checkpoint.parse(found)
            if view.deleting:
                seen = self._deleted()
            elif view.lease is None or view.lease.renewed is None:
                seen = False
            elif not self._is_own(view.lease):
                seen = self._taken_by(view.lease)
            else:
                seen = True
                now = datetime.now(UTC)
                return lease.renewed(_status(found), node=self._node, pod=self._pod, now=now)
            return None

        await self._decide(change, held.RENEW_SECONDS)
        return seen

    async def give_up(self) -> None:
        """Unless the block has done so, by publishing or failing, or another has it. Whoever
        deletes the data of a deleted Checkpoint waits for this."""

        def change(found: JSON) -> JSON | None:
            if not self._is_own(checkpoint.lease(found.get("status"))):
                return None
            return lease.released(_status(found), now=datetime.now(UTC))

        try:
            await self._decide(change, _GIVING_UP_SECONDS)
        except APIError as error:
            event(
                _log, logging.WARNING, "lease not given up",
                checkpoint=self._shown, problem=error, runs_out_after_seconds=held.LEASE_SECONDS,
            )  # fmt: skip

    async def _decide(self, change: Change, patience_seconds: float) -> JSON | None:
        return await self._writer.decide(
            self._pod.namespace, self._name, change, patience_seconds=patience_seconds
        )

    def _is_own(self, found: Lease | None) -> bool:
        return bool(found and found.renewed and held.is_own(found, self._node, self._pod))

    def _deleted(self) -> LeaseLostError:
        return LeaseLostError(f"Checkpoint {self._shown} was deleted during the capture")

    def _taken_by(self, found: Lease) -> LeaseLostError:
        return LeaseLostError(
            f"Checkpoint {self._shown} is captured on node {found.node} now, from pod "
            f"{found.pod_name}: this node had not renewed its lease for too long"
        )


def _status(found: JSON) -> JSON:
    return found.get("status") or {}
