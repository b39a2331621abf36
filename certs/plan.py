"""Plan: what to do with what the Secret holds. Pure; carried out by certs/deed.py.

A change of CA takes three steps, each of which may be the last that a replica lives to do:
1. ROTATE: a new CA joins the bundle; what is served stays;
2. the bundle becomes caBundle, and for the overlap nothing happens;
3. ISSUE: the new CA signs the certificate that takes over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from cryptography import x509

from certs import reading
from certs.held import Held
from certs.settings import Settings

_MOST_NAMES: Final = 16


class Do(Enum):
    """What is written: nothing; ca.crt; a certificate; a CA beside the old; everything."""

    KEEP = "keep"
    TIDY = "tidy"
    ISSUE = "issue"
    ROTATE = "rotate"
    BEGIN = "begin"


@dataclass(frozen=True, slots=True)
class Decision:
    """due: when to decide again if nothing changes. settled: nothing is under way.
    names: for ISSUE and BEGIN, what the certificate is for.
    """

    do: Do
    why: str = ""
    due: datetime | None = None
    settled: bool = False
    names: tuple[str, ...] = ()


def plan(held: Held, now: datetime, settings: Settings, trusted_seconds: float | None) -> Decision:
    """trusted_seconds: for how long caBundle has been seen to hold `held.signer`; None: not now."""
    if held.serving is None:
        why = "; ".join(held.faults)
        # The CA in charge is trusted already: better than a new one, however old it is.
        return Decision(Do.ISSUE if held.signer else Do.BEGIN, why, names=settings.dns_names)
    if held.signer is None:
        return Decision(Do.ROTATE, "; ".join(held.faults))
    if now >= _renewal(held.signer.certificate, settings.authority_lifetime_seconds):
        return Decision(Do.ROTATE, "two thirds of the CA's life are over")
    return _with_signer(held, now, settings, trusted_seconds)


def _with_signer(held: Held, now: datetime, settings: Settings, trusted: float | None) -> Decision:
    assert held.serving is not None
    assert held.signer is not None
    wanted = _reissue(held, now, settings)
    left = settings.overlap_seconds - (trusted or 0.0)
    waiting = held.issuer != held.signer.certificate and (trusted is None or left > 0)
    if wanted and not waiting:
        return wanted
    if not held.tidy:
        return Decision(Do.TIDY, "ca.crt is not what it has to be")
    if wanted:
        until = now + timedelta(seconds=left)
        return Decision(Do.KEEP, "the API server is given time to learn of the CA", until)
    dates = (
        _renewal(held.serving.certificate, settings.serving_lifetime_seconds),
        _renewal(held.signer.certificate, settings.authority_lifetime_seconds),
        *(one.not_valid_after_utc for one in held.bundle),
    )
    return Decision(Do.KEEP, "all is well", min(dates), settled=True)


def _reissue(held: Held, now: datetime, settings: Settings) -> Decision | None:
    """Why there should be another serving certificate."""
    assert held.serving is not None
    assert held.signer is not None
    certificate = held.serving.certificate
    if now >= _renewal(certificate, settings.serving_lifetime_seconds):
        why = "two thirds of the certificate's life are over"
        return Decision(Do.ISSUE, why, names=settings.dns_names)
    if held.issuer != held.signer.certificate:
        return Decision(Do.ISSUE, "there is a new CA", names=settings.dns_names)
    present = reading.dns_names(certificate)
    if missing := set(settings.dns_names) - set(present):
        # Replicas of two releases, each with its own names, must not undo each other's work: the
        # names of before stay until the certificate is renewed.
        both = tuple(dict.fromkeys((*settings.dns_names, *present)))
        names = both if len(both) <= _MOST_NAMES else settings.dns_names
        return Decision(Do.ISSUE, f"it lacks the name {min(missing)}", names=names)
    return None


def _renewal(certificate: x509.Certificate, life_seconds: float) -> datetime:
    """When a third of the life is left; counted from the end, as the beginning is backdated."""
    return certificate.not_valid_after_utc - timedelta(seconds=life_seconds / 3)
