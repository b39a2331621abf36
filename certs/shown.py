"""Shown: what a Secret holds, in lines for a person. Never a key."""

from datetime import datetime

from cryptography import x509

from certs import reading
from certs.held import Held, assess
from certs.pair import BUNDLE, CERTIFICATE, Content
from certs.places import Configuration


def shown(content: Content, configuration: Configuration | None, now: datetime) -> list[str]:
    """`configuration`: whose caBundle is compared, if any."""
    held = assess(content, now)
    return [
        *_serving(content, held, now),
        *_bundle(content, held, now),
        *(f"fault     {fault}" for fault in held.faults),
        *_told(configuration, held),
    ]


def _serving(content: Content, held: Held, now: datetime) -> list[str]:
    lines = []
    for certificate in reading.certificates(content.get(CERTIFICATE, b"")):
        lines.append(f"tls.crt   {_one(certificate, now)}")
        lines.append(f"          issued by {reading.common_name(certificate.issuer)}")
        lines += [f"          for {_plain(name)}" for name in reading.dns_names(certificate)]
    if held.serving is not None:
        lines.append("tls.key   fits")
    return lines


def _bundle(content: Content, held: Held, now: datetime) -> list[str]:
    lines = []
    for certificate in reading.certificates(content.get(BUNDLE, b"")):
        signs = held.signer is not None and certificate == held.signer.certificate
        lines.append(f"ca.crt    {_one(certificate, now)}{', signs (ca.key fits)' * signs}")
    return lines


def _told(configuration: Configuration | None, held: Held) -> list[str]:
    if configuration is None:
        return []
    return [
        f"caBundle  of {_plain(webhook)}: {_compared(bundle, held)}"
        for webhook, bundle in configuration.bundles.items()
    ]


def _compared(bundle: bytes, held: Held) -> str:
    if not bundle:
        return "empty"
    if bundle == held.content.get(BUNDLE, b""):
        return "the same as ca.crt"
    there = reading.certificates(bundle)
    return "lacks the issuer" if held.issuer not in there else "other than ca.crt, has the issuer"


def _one(certificate: x509.Certificate, now: datetime) -> str:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    state = "" if reading.valid(certificate, now) else ", NOT VALID NOW"
    name = _plain(reading.common_name(certificate.subject))
    return f"{name}, {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC{state}"


def _plain(text: str) -> str:
    """Nothing that a terminal would obey."""
    return "".join(one if one.isprintable() else "?" for one in text)[:253]
