"""Trust: for how long, without a break, caBundle was seen to hold a CA.

Seen by this process on its own even clock: a date in the certificate would be another machine's
word. A process that starts begins to count anew, which only makes a change of CA later.
"""

from collections.abc import Iterable

from cryptography import x509


class Trust:
    """One process's observations."""

    def __init__(self) -> None:
        self._since: dict[x509.Certificate, float] = {}

    def saw(self, trusted: Iterable[x509.Certificate], at_seconds: float) -> None:
        """caBundle holds exactly `trusted` now."""
        self._since = {one: self._since.get(one, at_seconds) for one in trusted}

    def holds(self, authority: x509.Certificate | None) -> bool:
        """Whether caBundle held it when last seen."""
        return authority in self._since

    def seconds(self, authority: x509.Certificate | None, at_seconds: float) -> float | None:
        """So long it has been there; None: it is not."""
        if authority is None or authority not in self._since:
            return None
        return at_seconds - self._since[authority]
