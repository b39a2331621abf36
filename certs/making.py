"""Make: a CA of chrek's own, and the serving certificates that it signs. EC P-256, X.509 v3."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ORGANIZATION: Final = "chrek"
BACKDATED: Final = timedelta(hours=1)
"""For machines whose clock is behind ours."""

_MOST_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def new_authority(now: datetime, life_seconds: float) -> Signed:
    """A CA under a name of its own: clients that hold several never try the wrong one."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = _name(f"chrek CA {serial:040x}"[:17])
    public = key.public_key()
    builder = (
        _begun(now, now + timedelta(seconds=life_seconds))
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return Signed(builder.sign(key, hashes.SHA256()), key)


def new_serving(
    authority: Signed, names: Sequence[str], now: datetime, life_seconds: float
) -> Signed:
    """A certificate for a server called `names`. It never outlives its CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    ends = min(now + timedelta(seconds=life_seconds), issuer.not_valid_after_utc)
    common = next((name for name in names if len(name) <= _MOST_COMMON_NAME), "chrek webhook")
    signer = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer)
    public = key.public_key()
    builder = (
        _begun(now, ends)
        .subject_name(_name(common))
        .issuer_name(issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(identifier, critical=False)
    )
    return Signed(builder.sign(authority.key, hashes.SHA256()), key)


def _begun(now: datetime, ends: datetime) -> x509.CertificateBuilder:
    begins = now.replace(microsecond=0) - BACKDATED
    return x509.CertificateBuilder().not_valid_before(begins).not_valid_after(ends)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
