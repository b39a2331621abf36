"""Deed: what a decision means for the keys of the Secret. Makes keys, writes nothing."""

from datetime import datetime
from typing import Final

from certs.held import Bundle, Held, bundle_pem
from certs.making import Signed, new_authority, new_serving
from certs.pair import AUTHORITY_KEY, BUNDLE, CERTIFICATE, KEY, Content
from certs.plan import Decision, Do
from certs.settings import Settings

_MOST_AUTHORITIES: Final = 8
"""In a bundle that is given another CA. Somebody who keeps deleting ca.key makes it grow."""


def written(decision: Decision, held: Held, now: datetime, settings: Settings) -> Content:
    """The keys to write, with their content."""
    if decision.do is Do.TIDY:
        return {BUNDLE: held.bundle_pem}
    if decision.do is Do.ROTATE:
        authority = new_authority(now, settings.authority_lifetime_seconds)
        return _joined(authority, held.bundle)
    if decision.do is Do.ISSUE:
        assert held.signer is not None
        serving = _serving(held.signer, decision, now, settings)
        return {BUNDLE: held.bundle_pem, **serving}
    if decision.do is Do.BEGIN:
        authority = new_authority(now, settings.authority_lifetime_seconds)
        # Other replicas may serve by a CA of before until they have seen this one.
        return _joined(authority, held.known) | _serving(authority, decision, now, settings)
    return {}


def _joined(authority: Signed, others: Bundle) -> dict[str, bytes]:
    bundle = (authority.certificate, *others)[:_MOST_AUTHORITIES]
    return {BUNDLE: bundle_pem(bundle), AUTHORITY_KEY: authority.key_pem}


def _serving(
    authority: Signed, decision: Decision, now: datetime, settings: Settings
) -> dict[str, bytes]:
    made = new_serving(authority, decision.names, now, settings.serving_lifetime_seconds)
    return {CERTIFICATE: made.certificate_pem, KEY: made.key_pem}
