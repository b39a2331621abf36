"""The requests of one lookup with one credential: manifest, its platforms' manifests, configs."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from yarl import URL

from webhook.registry import auth, digest, image, manifest
from webhook.registry.credentials import Credential
from webhook.registry.errand import Call, Errand, Reply
from webhook.registry.errors import ImageKindError, ImageTooLargeError
from webhook.registry.image import ImageConfig, Variant
from webhook.registry.manifest import Index, Manifest
from webhook.registry.settings import Settings
from webhook.registry.status import check
from webhook.registry.transport import Transport

T = TypeVar("T")

_OK = 200
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_DIGEST = "Docker-Content-Digest"


@dataclass(slots=True)
class Pull:
    """transport and settings are shared; errand and credential are this lookup's."""

    transport: Transport
    settings: Settings
    errand: Errand
    credential: Credential | None
    _authorization: str | None = None

    async def points_at(self) -> str | None:
        """The digest the registry says the tag has, without its content: registries that count
        pulls (Docker Hub) do not count this. None when it does not say."""
        reply = await self._ask(self._manifest_call(self.errand.image.version, method="HEAD"))
        return reply.headers.get(_DIGEST) if reply.status == _OK else None

    async def config(self, known: Callable[[str], ImageConfig | None]) -> ImageConfig:
        """What the image starts. known: of a digest from before; its content is not asked for."""
        name, version = self.errand.image, self.errand.image.version
        found, document = await self._manifest(version)
        if (before := known(found)) is not None:
            return before
        if isinstance(document, Manifest):
            variants = [await self._variant(document)]
        else:
            variants = await _all(self._variant_of(each) for each in document.manifests)
        return image.agreed(variants, self._architectures(document, variants), found, name)

    def _architectures(
        self, document: Manifest | Index, variants: list[Variant]
    ) -> tuple[str, ...]:
        """A single image runs where it runs: its one architecture is not judged."""
        if isinstance(document, Index):
            return self.settings.architectures
        return tuple(variant.architecture for variant in variants)

    async def _variant_of(self, version: str) -> Variant:
        _, document = await self._manifest(version)
        if isinstance(document, Index):
            raise ImageKindError(
                f"{self.errand.image}: an index inside its index",
                hint="Name the inner one by digest, or write `command` in the pod",
            )
        return await self._variant(document)

    async def _variant(self, document: Manifest) -> Variant:
        name, limit = self.errand.image, self.settings.config_bytes
        if document.config_bytes > limit:
            raise ImageTooLargeError(
                f"{name}: its config has {document.config_bytes} bytes, more than {limit}",
                hint="chrek reads no larger one; write `command` in the pod",
            )
        url = self._url("blobs", document.config)
        call = Call(self.errand, url, "the image's config", limit)
        reply = await self._ask(call)
        check(call, reply)
        digest.verify(reply.body, document.config, name, "config")
        return image.parse(reply.body, self.settings.command_bytes, name)

    async def _manifest(self, version: str) -> tuple[str, Manifest | Index]:
        call = self._manifest_call(version)
        reply = await self._ask(call)
        check(call, reply)
        name = self.errand.image
        said = version if digest.is_digest(version) else reply.headers.get(_DIGEST, "")
        if said:
            digest.verify(reply.body, digest.checked(said, name), name, "manifest")
        kind = reply.headers.get("Content-Type", "")
        document = manifest.parse(reply.body, kind, self.settings.architectures, name)
        return said or digest.sha256(reply.body), document

    def _manifest_call(self, version: str, method: str = "GET") -> Call:
        return Call(
            self.errand,
            self._url("manifests", version),
            "the manifest",
            self.settings.manifest_bytes,
            method=method,
            accept=manifest.ACCEPT,
        )

    def _url(self, kind: str, version: str) -> URL:
        return self.errand.registry / "v2" / self.errand.image.path / kind / version

    async def _ask(self, call: Call) -> Reply:
        """With what the registry was shown before; a challenge is answered once."""
        reply = await self.transport.fetch(call.showing(self._authorization))
        if reply.status == _UNAUTHORIZED and self._authorization is None and reply.at(call.url):
            self._authorization = await auth.authorization(
                self.transport, call, reply, self.credential, self.settings.token_bytes
            )
            reply = await self.transport.fetch(call.showing(self._authorization))
        if reply.status in (_UNAUTHORIZED, _FORBIDDEN):
            raise auth.denied(self.errand, reply.url, self.credential)
        return reply


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Side by side; the first error ends the rest and is raised as it is."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
