"""manifest.json.sig: which key signed the bytes beside it, and the signature (Ed25519)."""

import base64
import hashlib
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from chrek.errors import ForgedError

MAX_BYTES: Final = 4 << 10
"""A signature file larger than this is not read."""

_DOMAIN: Final = b"chrek manifest\n"
"""In front of what is signed: a signature of the same key for anything else is none of these."""

_KEY_ID_CHARACTERS: Final = 16


class _Signature(msgspec.Struct, forbid_unknown_fields=True):
    key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
    signature: Annotated[str, msgspec.Meta(max_length=88)]


def key_id(key: Ed25519PublicKey) -> str:
    """What a signature calls its key: the beginning of the hash of the raw public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_KEY_ID_CHARACTERS]


def made(content: bytes, key: Ed25519PrivateKey) -> bytes:
    """The file that goes beside `content`."""
    signature = base64.b64encode(key.sign(_DOMAIN + content)).decode()
    return msgspec.json.encode(_Signature(key_id(key.public_key()), signature)) + b"\n"


def signer(file: bytes) -> str:
    """The id of the key that a signature file names; raises ForgedError."""
    return _decoded(file).key


def check(content: bytes, file: bytes, key: Ed25519PublicKey) -> None:
    """Raise ForgedError unless `file` is the signature of `content` with `key`."""
    try:
        signature = base64.b64decode(_decoded(file).signature, validate=True)
        key.verify(signature, _DOMAIN + content)
    except (InvalidSignature, ValueError) as error:
        raise ForgedError(
            "the manifest is not the one that was signed",
            hint="Somebody changed it: delete the checkpoint and find out who writes there",
        ) from error


def _decoded(file: bytes) -> _Signature:
    try:
        return msgspec.json.decode(file, type=_Signature)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ForgedError(f"manifest.json.sig is no signature: {error}") from error
