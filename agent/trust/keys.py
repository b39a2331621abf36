"""Keys: the one that signs checkpoints here, and those whose checkpoints are believed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from agent.trust import pem, signature
from chrek.errors import ChrekError, SigningKeyError, UnsignedError, UntrustedKeyError

SIGNING: Final = "signing.pem"
TRUSTED_PREFIX: Final = "trusted"
TRUSTED_SUFFIX: Final = ".pem"

_REFRESH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Keys:
    """signing: its public half is trusted too. trusted: by the id that signatures call them."""

    signing: Ed25519PrivateKey = field(repr=False)
    trusted: Mapping[str, Ed25519PublicKey]


Source = Callable[[], Awaitable[Keys]]
"""Reads the keys as they are now; raises ChrekError."""


class Keyring:
    """The keys, as they were read last.

    source: where they are read again. Without one they never change.
    """

    def __init__(
        self,
        keys: Keys,
        source: Source | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._source = source
        self._clock = clock
        self._read_at = clock()
        self._reading = asyncio.Lock()

    @property
    def key_id(self) -> str:
        """The id of the key that signs."""
        return signature.key_id(self._keys.signing.public_key())

    @property
    def trusted(self) -> frozenset[str]:
        """The ids of all keys that are believed."""
        return frozenset(self._keys.trusted)

    def sign(self, content: bytes) -> bytes:
        """The .sig file of `content`."""
        return signature.made(content, self._keys.signing)

    def check(self, content: bytes, file: bytes | None) -> None:
        """Raise TrustError unless `file` is the signature of `content` with a trusted key."""
        if file is None:
            raise UnsignedError(
                "the checkpoint is not signed",
                hint="It was made by a chrek before signatures, or by somebody else: delete it",
            )
        named = signature.signer(file)
        key = self._keys.trusted.get(named)
        if key is None:
            raise UntrustedKeyError(
                f"the checkpoint was signed with key {named}, which is not trusted here",
                hint="docs/trust.md says how a key becomes trusted",
            )
        signature.check(content, file, key)

    async def refresh(self) -> None:
        """Read the keys again, unless that was done a moment ago. Where they cannot be read, or
        are none, those that were known stay in use."""
        if self._source is None:
            return
        async with self._reading:  # whoever comes meanwhile waits for the same answer
            if self._clock() - self._read_at < _REFRESH_SECONDS:
                return
            self._read_at = self._clock()
            # Whoever asked for this has an error that tells more.
            with suppress(ChrekError):
                self._keys = await self._source()


def of_files(files: Mapping[str, bytes], place: str) -> Keys:
    """The keys in files by name, of the directory or Secret `place`; raises SigningKeyError."""
    if SIGNING not in files:
        raise SigningKeyError(f"{place} has no {SIGNING}")
    signing = pem.private(files[SIGNING], f"{SIGNING} of {place}")
    public = [signing.public_key()]
    for name in sorted(files):
        if name.startswith(TRUSTED_PREFIX) and name.endswith(TRUSTED_SUFFIX):
            public += pem.public(files[name], f"{name} of {place}")
    return Keys(signing, {signature.key_id(key): key for key in public})
