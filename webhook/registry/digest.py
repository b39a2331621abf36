"""Digests of content: `algorithm:hex`, and whether content is what its digest says."""

import hashlib
import re

from webhook.registry.errors import ImageDamagedError, RegistryAnswerError

_HEX_CHARACTERS = {"sha256": 64, "sha384": 96, "sha512": 128}
_LOWER_HEX = re.compile("[0-9a-f]+")


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of an algorithm that registries use."""
    algorithm, _, value = text.partition(":")
    return len(value) == _HEX_CHARACTERS.get(algorithm) and bool(_LOWER_HEX.fullmatch(value))


def checked(text: str, image: object) -> str:
    """`text` when it is a digest; raises RegistryAnswerError."""
    if not is_digest(text):
        raise RegistryAnswerError(
            f"{image}: the registry names content by something that is no digest",
            hint="Look at the image with another client; push it again",
        )
    return text


def sha256(content: bytes | bytearray) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def verify(content: bytes | bytearray, digest: str, image: object, what: str) -> None:
    """Raise ImageDamagedError unless `content` has this digest."""
    algorithm, _, value = digest.partition(":")
    if hashlib.new(algorithm, content).hexdigest() != value:
        raise ImageDamagedError(
            f"{image}: the {what} that the registry sent is not {digest[:19]}...",
            hint="Look at the registry's storage and at any proxy before it",
        )
