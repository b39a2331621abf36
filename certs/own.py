"""Own: one round with certificates of chrek's own making. Look, decide, write, tell, serve.

Level-based: a round needs nothing of the round before but what this process serves and for how
long it has seen CAs trusted. It may end at any line; the next round, of any replica, goes on.
"""

import logging
from datetime import datetime

from certs import deed, reading
from certs.clock import Clock
from certs.errors import CertsError, ConflictError
from certs.handover import Handover
from certs.held import Bundle, Held, assess, bundle_pem
from certs.leaving import Leaving
from certs.offering import Offering
from certs.outcome import Outcome
from certs.places import Secret, Secrets, SeenConfiguration, WebhookConfigurations
from certs.plan import Decision, Do, plan
from certs.settings import Settings
from certs.trust import Trust
from chrek import logs

_log = logging.getLogger(__name__)


class Own:
    """The Secret is ours to write, and caBundle to set."""

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        configurations: WebhookConfigurations,
        clock: Clock,
        offering: Offering,
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._configurations = configurations
        self._clock = clock
        self._offering = offering
        self._trust = Trust()
        self._leaving = Leaving(settings.overlap_seconds)
        self._handover = Handover(settings, clock, self._trust, offering)

    async def round(self) -> Outcome:
        """Raises CertsError, after all that could be done in spite of it."""
        problems: list[CertsError] = []
        # The configuration is read first: a caBundle set before that is of a Secret no newer than
        # the one read below, and one set after it makes the write of ours a conflict.
        seen = await self._configuration(problems)
        found = _trusted_by_all(seen)
        place = await self._secrets.read()
        now = self._clock.now()  # one moment for all that is decided: any call may take long
        held = assess(
            place.secret.content if place.secret else None, now, must=self._must(), found=found
        )
        self._observe(seen, held)
        decision = self._plan(held, now)
        wrote = decision.do is not Do.KEEP
        if wrote:
            held = await self._write(place.secret, held, decision, now, problems)
        kept, goes = self._leaving.still(found, held.bundle, now, self._clock.seconds())
        told = await self._tell(seen, (*held.bundle, *kept), problems)
        # After a conflict caBundle is not what was seen.
        stale = any(isinstance(problem, ConflictError) for problem in problems)
        waits = self._handover.serve(held, sure=seen is not None and not stale)
        if problems:
            raise problems[0]
        due = 0.0 if wrote or decision.due is None else (decision.due - now).total_seconds()
        return Outcome(
            due_seconds=min(one for one in (due, goes, waits) if one is not None),
            settled=decision.settled and not told and goes is None,
            wrote=wrote or told,
            secret_since=place.since,
            configuration_since=seen.since if seen else None,
        )

    async def _configuration(self, problems: list[CertsError]) -> SeenConfiguration | None:
        try:
            return await self._configurations.read()
        except CertsError as error:
            problems.append(error)
            return None

    def _must(self) -> Bundle:
        return (self._offering.issuer,) if self._offering.issuer else ()

    def _observe(self, seen: SeenConfiguration | None, held: Held) -> None:
        if seen is not None:
            asked = seen.configuration is not None and seen.configuration.bundles
            # Where there is no webhook nobody calls, and nobody distrusts.
            trusted = _trusted_by_all(seen) if asked else held.bundle
            self._trust.saw(trusted, self._clock.seconds())

    def _plan(self, held: Held, now: datetime) -> Decision:
        signer = held.signer.certificate if held.signer else None
        trusted = self._trust.seconds(signer, self._clock.seconds())
        return plan(held, now, self._settings, trusted)

    async def _write(
        self,
        secret: Secret | None,
        held: Held,
        decision: Decision,
        now: datetime,
        problems: list[CertsError],
    ) -> Held:
        content = deed.written(decision, held, now, self._settings)
        try:
            if secret is None:
                await self._secrets.create(content)
            else:
                await self._secrets.replace(secret, content)
        except ConflictError:
            raise  # all that was read is stale
        except CertsError as error:
            problems.append(error)
            return held
        logs.event(
            _log,
            logging.INFO,
            "certificates written",
            secret=self._secrets.name,
            what=decision.do.value,
            why=decision.why,
        )
        return assess({**held.content, **content}, now, must=self._must())

    async def _tell(
        self, seen: SeenConfiguration | None, bundle: Bundle, problems: list[CertsError]
    ) -> bool:
        if seen is None or seen.configuration is None or not bundle:
            return False
        pem = bundle_pem(bundle)
        if all(there == pem for there in seen.configuration.bundles.values()):
            return False
        try:
            await self._configurations.trust(seen.configuration, pem)
        except CertsError as error:
            problems.append(error)
            return False
        self._trust.saw(bundle, self._clock.seconds())
        logs.event(
            _log,
            logging.INFO,
            "caBundle set",
            configuration=self._configurations.name,
            authorities=len(bundle),
        )
        return True


def _trusted_by_all(seen: SeenConfiguration | None) -> Bundle:
    """The CAs that every webhook of the configuration trusts."""
    if seen is None or seen.configuration is None:
        return ()
    sets = [reading.authorities(bundle) for bundle in seen.configuration.bundles.values()]
    return tuple(one for one in (sets or [()])[0] if all(one in other for other in sets))
