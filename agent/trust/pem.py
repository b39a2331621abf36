"""Ed25519 keys as PEM: PKCS8 for the private one, SubjectPublicKeyInfo for public ones."""

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from chrek.errors import SigningKeyError

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_HINT = "docs/trust.md says how keys are made"


def new() -> bytes:
    """A new private key."""
    return Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def private(content: bytes, what: str) -> Ed25519PrivateKey:
    """The private key in `content`; raises SigningKeyError that names `what`."""
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningKeyError(f"{what} is no private key", hint=_HINT) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(f"{what} is no Ed25519 key", hint=_HINT)
    return key


def public(content: bytes, what: str) -> list[Ed25519PublicKey]:
    """All public keys in `content`, at least one; raises SigningKeyError that names `what`."""
    blocks = list(_BLOCK.finditer(content))
    if not blocks or _BLOCK.sub(b"", content).strip():
        raise SigningKeyError(f"{what} is not made of public keys alone", hint=_HINT)
    return [_public(block[0], what) for block in blocks]


def _public(block: bytes, what: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningKeyError(f"{what} has a block that is no public key", hint=_HINT) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SigningKeyError(f"{what} has a key that is not Ed25519", hint=_HINT)
    return key
