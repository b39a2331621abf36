"""Read: PEM that anybody may have edited. What is not understood is as if it were not there."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

from certs.making import ORGANIZATION

_T = TypeVar("_T")

_MOST_BYTES: Final = 64 << 10
_MOST_CERTIFICATES: Final = 32
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_STRANGE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)


def authorities(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The CAs of chrek's own making in `pem`, each once, in its order."""
    return tuple(dict.fromkeys(found for found in certificates(pem) if _ours(found)))


def certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """All certificates in `pem`; a damaged one does not hide those behind it."""
    if len(pem) > _MOST_BYTES:
        return ()
    blocks = _BLOCK.findall(pem)[:_MOST_CERTIFICATES]
    return tuple(found for block in blocks if (found := _certificate(block)) is not None)


def private_key(pem: bytes) -> PrivateKeyTypes | None:
    """The key in `pem`, of any kind."""
    if len(pem) > _MOST_BYTES:
        return None
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except _STRANGE:
        return None


def own_key(pem: bytes) -> ec.EllipticCurvePrivateKey | None:
    """The key in `pem` if it is of the kind that chrek makes."""
    key = private_key(pem)
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    return None


def fits(key: PrivateKeyTypes, certificate: x509.Certificate) -> bool:
    """Whether `key` is the certificate's."""
    return key.public_key() == certificate.public_key()


def issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether `authority` signed `certificate`."""

    def verify() -> bool:
        certificate.verify_directly_issued_by(authority)
        return True

    return _understood(verify) is True


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names that the certificate is for."""

    def names() -> tuple[str, ...]:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return tuple(extension.value.get_values_for_type(x509.DNSName))

    return _understood(names) or ()


def common_name(name: x509.Name) -> str:
    """The common name, or all of the name."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def valid(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether `now` is within the certificate's time."""
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _certificate(block: bytes) -> x509.Certificate | None:
    def load() -> x509.Certificate:
        found = x509.load_pem_x509_certificate(block)
        # cryptography parses some fields only when asked: what fails there is no use later.
        _ = found.public_key(), found.extensions, found.subject.rfc4514_string()
        _ = found.issuer.rfc4514_string(), found.not_valid_before_utc, found.not_valid_after_utc
        return found

    return _understood(load)


def _ours(certificate: x509.Certificate) -> bool:
    def made_here() -> bool:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        organization = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        key = certificate.public_key()
        return (
            constraints.ca
            and [attribute.value for attribute in organization] == [ORGANIZATION]
            and isinstance(key, ec.EllipticCurvePublicKey)
            and isinstance(key.curve, ec.SECP256R1)
            and issued(certificate, certificate)
        )

    return _understood(made_here) is True


def _understood(read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except _STRANGE:
        return None
