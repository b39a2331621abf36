"""Held: what a Secret's content amounts to, whoever wrote it.

`must` are CAs that have to be in the bundle whatever the Secret says (that of the certificate
which is being served); `found` are CAs that the API server trusts now. Where the Secret was
damaged they mend it: a CA is recognised by its key or by what it signed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs import reading
from certs.making import Signed
from certs.pair import AUTHORITY_KEY, BUNDLE, CERTIFICATE, KEY, KEYS, Content, KeyPair

Bundle = tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """bundle: what ca.crt has to hold, in its order. known: CAs that others may still trust or
    serve by. signer: the CA that signs, None without its key. serving: the certificate that can
    be served, None if it cannot, and its issuer. faults: what is wrong, for a log.
    """

    content: Content
    bundle: Bundle
    known: Bundle
    signer: Signed | None
    serving: Signed | None
    issuer: x509.Certificate | None
    faults: tuple[str, ...]

    @property
    def bundle_pem(self) -> bytes:
        return bundle_pem(self.bundle)

    @property
    def tidy(self) -> bool:
        """Whether ca.crt is byte for byte what it has to be."""
        return self.content.get(BUNDLE, b"") == self.bundle_pem

    def pair(self) -> KeyPair | None:
        """What to serve. Written anew from what was understood: no garbage reaches OpenSSL."""
        if self.serving is None:
            return None
        return KeyPair(self.serving.certificate_pem, self.serving.key_pem, self.bundle_pem)


def assess(
    content: Content | None, now: datetime, *, must: Bundle = (), found: Bundle = ()
) -> Held:
    """Never fails, whatever `content` holds."""
    content = content or {}
    faults: list[str] = []
    # A ca.crt that holds nothing was damaged: replicas may serve by any CA that is trusted now.
    written = reading.authorities(content.get(BUNDLE, b"")) or found
    known = _alive((*written, *must, *found), now)
    signer = _signer(content, known, now, faults)
    serving, issuer = _serving(content, known, now, faults)
    first = [one for one in (signer.certificate if signer else None, issuer) if one is not None]
    rest = _by_age(_alive((*written, *must), now))
    return Held(
        content=content,
        bundle=tuple(dict.fromkeys((*first, *rest))),
        known=_by_age(known),
        signer=signer,
        serving=serving,
        issuer=issuer,
        faults=tuple(faults if any(map(content.get, KEYS)) else ["nothing is there yet"]),
    )


def bundle_pem(bundle: Bundle) -> bytes:
    """`bundle` as ca.crt and caBundle hold it."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in bundle)


def _signer(content: Content, known: Bundle, now: datetime, faults: list[str]) -> Signed | None:
    key = reading.own_key(content.get(AUTHORITY_KEY, b""))
    if key is None:
        faults.append("ca.key is missing or damaged")
        return None
    for authority in known:
        if reading.fits(key, authority) and reading.valid(authority, now):
            return Signed(authority, key)
    faults.append("no CA of ca.key is there and valid")
    return None


def _serving(
    content: Content, known: Bundle, now: datetime, faults: list[str]
) -> tuple[Signed | None, x509.Certificate | None]:
    there = reading.certificates(content.get(CERTIFICATE, b""))
    key = reading.own_key(content.get(KEY, b""))
    if len(there) != 1:  # chrek writes one; more is somebody else's
        faults.append("tls.crt is missing, damaged or not chrek's")
    elif key is None:
        faults.append("tls.key is missing or damaged")
    elif not reading.fits(key, there[0]):
        faults.append("tls.key is not the key of tls.crt")
    elif not reading.valid(there[0], now):
        faults.append("tls.crt has expired or is not yet valid")
    else:
        for authority in known:
            if reading.issued(authority, there[0]):
                return Signed(there[0], key), authority
        faults.append("tls.crt is of no CA of chrek's")
    return None, None


def _alive(bundle: Iterable[x509.Certificate], now: datetime) -> Bundle:
    """Without those that have expired; not yet valid is kept: another clock made it."""
    return tuple(dict.fromkeys(one for one in bundle if now < one.not_valid_after_utc))


def _by_age(bundle: Bundle) -> Bundle:
    """Newest first, the same order in every replica."""
    return tuple(sorted(bundle, key=lambda one: (one.not_valid_before_utc, _print(one)))[::-1])


def _print(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())
