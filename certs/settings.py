"""Settings of the certificates, validated once."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from chrek.errors import UsageError

Mode = Literal["chrek", "external"]

DAY_SECONDS: Final = 86400
_LEAST_SECONDS: Final = 10
_MOST_SECONDS: Final = 100 * 365 * DAY_SECONDS
_MOST_NAMES: Final = 16
_MOST_NAME: Final = 253
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Settings:
    """dns_names: what clients call the server. mode: `external` reads a Secret that somebody else
    (cert-manager) makes and writes nothing. serving_lifetime_seconds, authority_lifetime_seconds:
    each is renewed when a third of it is left. overlap_seconds: so long the API server must have
    been told of a CA before a certificate of that CA takes over; a sixth of a certificate's life
    if that is less, so that it ends while the certificate before is still good.
    """

    dns_names: tuple[str, ...]
    mode: Mode = "chrek"
    serving_lifetime_seconds: float = 90 * DAY_SECONDS
    authority_lifetime_seconds: float = 5 * 365 * DAY_SECONDS
    overlap_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.dns_names) <= _MOST_NAMES:
            raise UsageError(f"a certificate takes 1 to {_MOST_NAMES} DNS names")
        for name in self.dns_names:
            if len(name) > _MOST_NAME or not _NAME.fullmatch(name):
                raise UsageError(f"{name[:80]!r} is not a DNS name in lower case")
        if not _LEAST_SECONDS <= self.serving_lifetime_seconds <= _MOST_SECONDS:
            raise UsageError(f"a serving certificate lives {_LEAST_SECONDS} s to 100 years")
        # A CA is replaced when a third of its life is left: what it signs never outlives it.
        if not 3 * self.serving_lifetime_seconds <= self.authority_lifetime_seconds:
            raise UsageError("a CA must live at least three times as long as what it signs")
        if self.authority_lifetime_seconds > _MOST_SECONDS:
            raise UsageError("a CA lives at most 100 years")
        if not 0 <= self.overlap_seconds <= _MOST_SECONDS:
            raise UsageError("the overlap is a number of seconds from 0 on")
        most = self.serving_lifetime_seconds / 6
        object.__setattr__(self, "overlap_seconds", min(self.overlap_seconds, most))


def service_names(service: str, namespace: str) -> tuple[str, ...]:
    """The names under which a cluster knows a Service; the API server calls `NAME.NS.svc`."""
    return (
        f"{service}.{namespace}.svc",
        service,
        f"{service}.{namespace}",
        f"{service}.{namespace}.svc.cluster.local",
    )
