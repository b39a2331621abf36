"""Handover: when this process goes on from the pair that it serves to the one that is held."""

from certs import reading
from certs.clock import Clock
from certs.held import Held
from certs.offering import Offering
from certs.settings import Settings
from certs.trust import Trust


class Handover:
    """As long as the API server may not yet know the CA of a new pair, a good old one is better."""

    def __init__(self, settings: Settings, clock: Clock, trust: Trust, offering: Offering) -> None:
        self._settings = settings
        self._clock = clock
        self._trust = trust
        self._offering = offering

    def serve(self, held: Held, *, sure: bool) -> float | None:
        """Serve what is held, or the seconds until it may be. sure: caBundle is what was seen."""
        pair = held.pair()
        if pair is None or self._offering.same(pair):
            return None
        trusted = self._trust.seconds(held.issuer, self._clock.seconds())
        left = self._settings.overlap_seconds - (trusted or 0.0)
        young = self._offering.issuer != held.issuer and (trusted is None or left > 0)
        if young and self._serves():
            believed = not sure or self._trust.holds(self._offering.issuer)
            if believed or trusted is None:  # else only the new one is trusted
                return max(left, 0.0)
        self._offering.offer(pair, held.issuer)
        return None

    def _serves(self) -> bool:
        """Whether there is a pair that is served, and its time is not over."""
        served = self._offering.certificate
        return served is not None and reading.valid(served, self._clock.now())
