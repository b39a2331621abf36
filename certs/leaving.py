"""Leaving: CAs that caBundle holds and ca.crt does not name.

They go only after they were seen so for the overlap. A replica that serves by one of them puts it
back into ca.crt well before: it was dropped by somebody who knew nothing of that replica (a Secret
deleted and made again by a process that had just started).
"""

from datetime import datetime

from cryptography import x509

from certs.held import Bundle
from certs.trust import Trust

_MOST: int = 8


class Leaving:
    """One process's observations."""

    def __init__(self, overlap_seconds: float) -> None:
        self._overlap_seconds = overlap_seconds
        self._seen = Trust()

    def still(
        self, trusted: Bundle, bundle: Bundle, now: datetime, at_seconds: float
    ) -> tuple[Bundle, float | None]:
        """Of `trusted`, those to keep beyond `bundle`, and in how many seconds one of them goes."""
        leaving = [one for one in trusted if one not in bundle and now < one.not_valid_after_utc]
        self._seen.saw(leaving[:_MOST], at_seconds)
        left = {one: self._left(one, at_seconds) for one in leaving[:_MOST]}
        kept = tuple(one for one, seconds in left.items() if seconds > 0)
        return kept, min((left[one] for one in kept), default=None)

    def _left(self, authority: x509.Certificate, at_seconds: float) -> float:
        return self._overlap_seconds - (self._seen.seconds(authority, at_seconds) or 0.0)
