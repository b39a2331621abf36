"""What an image starts: asked of its registry once for all pods that come together, remembered."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from typing import Self

from yarl import URL

from chrek.logs import event
from webhook.registry import reference
from webhook.registry.addresses import Internet, SystemInternet
from webhook.registry.credentials import Credential, Keyring
from webhook.registry.errand import Errand
from webhook.registry.errors import (
    ImageUnknownError,
    RegistryBusyError,
    RegistryDeniedError,
    RegistryError,
    RegistryTimeoutError,
)
from webhook.registry.flights import Flights
from webhook.registry.image import ImageConfig
from webhook.registry.known import Known, Question
from webhook.registry.pull import Pull
from webhook.registry.reference import Reference
from webhook.registry.sessions import trusted
from webhook.registry.settings import Settings
from webhook.registry.transport import Transport
from webhook.registry.turns import Turns

_log = logging.getLogger("chrek.registry")


class Registry:
    """`async with Registry(settings) as registry: await registry.config(image, keyring)`."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        internet: Internet | None = None,
        clock: Callable[[], float] = time.monotonic,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """internet, clock, trust: others are for tests. Raises UsageError when the CA bundle of
        `settings` cannot be used."""
        self._settings = settings or Settings()
        self._trust = trust or trusted(self._settings.ca_bundle)
        self._internet = internet or SystemInternet()
        self._clock = clock
        self._known = Known(self._settings, clock)
        self._flights: Flights[Question, ImageConfig] = Flights()
        self._turns = Turns(self._settings.lookups, self._settings.lookups_per_registry)

    async def __aenter__(self) -> Self:
        self._transport = Transport(self._settings, self._internet, self._clock, self._trust)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._flights.close()
        await self._transport.close()

    async def config(self, image: str, credentials: Keyring | None = None) -> ImageConfig:
        """What `image`, as a pod names it, starts; raises RegistryError within the deadline."""
        name = reference.parse(image)
        shown = (credentials or Keyring()).lookup(name.name)[: self._settings.credentials]
        question = self._known.question(name, shown)
        if (known := self._known.answer(question)) is not None:
            return known
        full = len(self._flights) >= self._settings.waiting_lookups
        if full and question not in self._flights:
            raise RegistryBusyError(
                f"{name}: {len(self._flights)} images are being looked up",
                hint="Write `command` in the pod, or try again",
            )
        try:
            return await self._flights.join(question, lambda: self._look_up(question, shown))
        except RegistryError as error:
            # One error is raised to many, each with a traceback of its own.
            raise error.again() from None

    async def _look_up(self, question: Question, shown: tuple[Credential, ...]) -> ImageConfig:
        name, settings = question.image, self._settings
        scheme = "http" if name.authority in settings.insecure_registries else "https"
        errand = Errand(name, URL(f"{scheme}://{name.authority}"))
        began = self._clock()
        try:
            async with asyncio.timeout(settings.deadline_seconds):
                async with self._turns.turn(name.authority):
                    config = await self._ask(question, errand, shown)
        except TimeoutError:
            failure: RegistryError = RegistryTimeoutError(
                f"{name}: no answer within {settings.deadline_seconds:g} s, {errand.step}",
                hint="Look at the registry's speed; write `command` in the pod to need no lookup",
            )
        except RegistryError as error:
            failure = error
        else:
            self._known.learned(question, config)
            self._tell(logging.INFO, name, began, digest=config.digest)
            return config
        self._known.failed(question, failure)
        self._tell(logging.WARNING, name, began, reason=failure.reason, step=errand.step)
        raise failure

    def _tell(self, level: int, name: Reference, began: float, **fields: object) -> None:
        seconds = round(self._clock() - began, 4)
        event(_log, level, "registry-lookup", image=name, seconds=seconds, **fields)

    async def _ask(
        self, question: Question, errand: Errand, shown: tuple[Credential, ...]
    ) -> ImageConfig:
        """With each credential in turn, as kubelet pulls; without any if there is none."""
        name, before = question.image, self._known.before(question)
        refused: RegistryError | None = None
        for credential in shown or (None,):
            pull = Pull(self._transport, self._settings, errand, credential)
            try:
                if before is not None and await pull.points_at() == before.digest:
                    return before
                return await pull.config(lambda digest: self._known.image(name, digest))
            except (RegistryDeniedError, ImageUnknownError) as error:
                refused = error
        assert refused is not None
        raise refused
