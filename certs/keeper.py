"""The keeper: round after round, whatever happens, until it is cancelled."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from certs.clock import Clock
from certs.errors import CertsError, ConflictError
from certs.external import External
from certs.offering import Offering
from certs.outcome import Outcome
from certs.own import Own
from certs.pace import Pace
from certs.pair import KeyPair
from certs.places import Secrets, WebhookConfigurations
from certs.settings import Settings
from chrek import logs

_log = logging.getLogger(__name__)

_LONGEST_SECONDS: Final = 60.0
"""Between two looks: for a wall clock that was set, and a watch that lost something."""
_UNWATCHED_SECONDS: Final = 5.0
"""Between two looks at what cannot be watched."""
_GAP_SECONDS: Final = 0.2
"""Between a change and the look at it: replicas woken by the same change spread out."""
_CONFLICTS: Final = 30


class Keeper:
    """Keeps one Secret and one webhook configuration right, and says what to serve.

    on_change gets every pair that is to be served, in the task that runs the keeper.
    """

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        configurations: WebhookConfigurations,
        clock: Clock,
        on_change: Callable[[KeyPair], object],
    ) -> None:
        self._secrets = secrets
        self._configurations = configurations
        self._clock = clock
        self._offering = Offering(on_change)
        self._pace = Pace()
        self._round: Callable[[], Awaitable[Outcome]] = (
            External(settings, secrets, clock, self._offering).round
            if settings.mode == "external"
            else Own(settings, secrets, configurations, clock, self._offering).round
        )

    @property
    def pair(self) -> KeyPair | None:
        """What is served now; None before the first."""
        return self._offering.pair

    async def first(self) -> KeyPair:
        """Wait until something can be served."""
        return await self._offering.first()

    async def run(self) -> NoReturn:
        """Until cancelled. No error of the API ends it."""
        while True:
            try:
                outcome = await self._round()
            except CertsError as error:
                await self._failed(error)
            else:
                paused = self._pace.went_well(wrote=outcome.wrote, at_seconds=self._clock.seconds())
                await self._clock.sleep(self._clock.spread(paused))
                await self._idle(outcome)

    async def once(self) -> KeyPair:
        """Until all is settled, which may take an overlap. Raises the first error that is not a
        race with another replica."""
        conflicts = 0
        while True:
            try:
                outcome = await self._round()
            except ConflictError:
                conflicts += 1
                if conflicts > _CONFLICTS:
                    raise
                await self._clock.sleep(self._clock.spread(_GAP_SECONDS))
                continue
            if outcome.settled:
                return await self.first()
            await self._clock.sleep(max(0.0, min(outcome.due_seconds, _LONGEST_SECONDS)))

    async def _failed(self, error: CertsError) -> None:
        seconds = self._clock.spread(self._pace.failed())
        race = isinstance(error, ConflictError)
        logs.event(
            _log,
            logging.INFO if race else logging.WARNING,
            "another replica was first" if race else "certificates not kept",
            reason=error.reason,
            error=error,
            again_in_seconds=round(seconds, 2),
        )
        await self._clock.sleep(seconds)

    async def _idle(self, outcome: Outcome) -> None:
        """Until something is due, or has changed."""
        due = min(max(outcome.due_seconds, 0.0), self._clock.spread(_LONGEST_SECONDS))
        waits: list[asyncio.Task[None]] = [asyncio.create_task(self._clock.sleep(due))]
        if due > 0 and outcome.secret_since is not None:
            waits.append(asyncio.create_task(self._changed(self._secrets, outcome.secret_since)))
        if due > 0 and outcome.configuration_since is not None:
            since = outcome.configuration_since
            waits.append(asyncio.create_task(self._changed(self._configurations, since)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        await self._clock.sleep(self._clock.spread(_GAP_SECONDS))

    async def _changed(self, place: Secrets | WebhookConfigurations, since: str) -> None:
        """What a watch says is only a reason to look. One that fails, or ends at once, or is not
        allowed makes it a poll."""
        began = self._clock.seconds()
        try:
            if await place.changed(since):
                return
        except CertsError as error:
            logs.event(_log, logging.DEBUG, "not watched", place=place.name, error=error)
        lasted = self._clock.seconds() - began
        await self._clock.sleep(self._clock.spread(max(0.0, _UNWATCHED_SECONDS - lasted)))
