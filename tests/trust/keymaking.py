"""Keyrings for tests, and PEM of their keys."""

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from agent.trust import pem
from agent.trust.keys import SIGNING, Keyring, of_files


def keyring(signing: bytes | None = None, **trusted: bytes) -> Keyring:
    """A keyring of a new key, or of this one, that trusts others: trusted_x=PEM."""
    files = {f"{name}.pem": content for name, content in trusted.items()}
    return Keyring(of_files({SIGNING: signing or pem.new(), **files}, "a test"))


def public(signing: bytes) -> bytes:
    """The public half of a private key."""
    key = load_pem_private_key(signing, password=None)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
