"""What has been learned of images: tags for a while, digests for good, failures for a moment."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from webhook.registry.credentials import Credential
from webhook.registry.errors import RegistryError
from webhook.registry.image import ImageConfig
from webhook.registry.memory import Passing, Recent
from webhook.registry.reference import Reference
from webhook.registry.settings import Settings


@dataclass(frozen=True, slots=True)
class Question:
    """An image asked for with some credentials: what is answered to them is no answer to others.
    shown: tells them apart without holding them."""

    image: Reference
    shown: bytes


class Known:
    """One process's."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        entries = settings.known_images
        self._salt = os.urandom(32)
        # By repository: a digest proves nothing to those whom another repository refuses.
        self._images: Recent[tuple[str, str, str], ImageConfig] = Recent(
            entries, settings.known_bytes, lambda config: config.bytes_held
        )
        # One image can have several tags and be pulled with several secrets.
        self._digests: Passing[Question, str] = Passing(4 * entries, settings.tag_seconds, clock)
        self._failures: Passing[Question, RegistryError] = Passing(
            entries, settings.failure_seconds, clock
        )

    def question(self, name: Reference, credentials: tuple[Credential, ...]) -> Question:
        shown = hashlib.blake2b(key=self._salt, digest_size=32)
        for credential in credentials:
            for part in (credential.username.encode(), credential.password.encode()):
                shown.update(len(part).to_bytes(8, "big") + part)
        return Question(name, shown.digest())

    def answer(self, question: Question) -> ImageConfig | None:
        """What needs no asking; raises what failed a moment ago."""
        pinned = question.image.pinned
        digest = self._digests.last(question) if pinned else self._digests.get(question)
        if digest is not None and (config := self.image(question.image, digest)) is not None:
            return config
        if (failure := self._failures.get(question)) is not None:
            raise failure.again()
        return None

    def before(self, question: Question) -> ImageConfig | None:
        """What the tag pointed at when it was asked for last."""
        digest = self._digests.last(question)
        return self.image(question.image, digest) if digest is not None else None

    def image(self, name: Reference, digest: str) -> ImageConfig | None:
        return self._images.get((name.authority, name.path, digest))

    def learned(self, question: Question, config: ImageConfig) -> None:
        name = question.image
        self._images.put((name.authority, name.path, config.digest), config)
        self._digests.put(question, config.digest)

    def failed(self, question: Question, failure: RegistryError) -> None:
        # A copy: one that was raised keeps frames alive, and in them what was read.
        self._failures.put(question, failure.again())
