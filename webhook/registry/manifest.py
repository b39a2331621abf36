"""Manifests and indexes, of OCI and Docker: what is said of an image's config and platforms."""

from dataclasses import dataclass

import msgspec

from webhook.registry import digest
from webhook.registry.errors import ImageKindError, ImagePlatformsError, RegistryAnswerError

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
ACCEPT = ", ".join(_INDEXES + _MANIFESTS)

_SCHEMA = 2
_NULL = msgspec.Raw(b"null")
_MOST_PLATFORMS = 8


class _Platform(msgspec.Struct):
    os: str | None = None
    architecture: str | None = None


class _Descriptor(msgspec.Struct, rename={"media_type": "mediaType"}):
    digest: str
    media_type: str | None = None
    size: int | None = None
    platform: _Platform | None = None


class _Document(
    msgspec.Struct, rename={"schema_version": "schemaVersion", "media_type": "mediaType"}
):
    schema_version: int
    media_type: str | None = None
    config: _Descriptor | None = None
    layers: msgspec.Raw = _NULL
    manifests: list[_Descriptor] | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """config: digest of the image's config. config_bytes: as the manifest says."""

    config: str
    config_bytes: int


@dataclass(frozen=True, slots=True)
class Index:
    """manifests: digests of those that a node of ours could run."""

    manifests: tuple[str, ...]


def parse(
    content: bytes | bytearray, content_type: str, architectures: tuple[str, ...], image: object
) -> Manifest | Index:
    """What `content` is; raises RegistryError when no node could run it."""
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise RegistryAnswerError(
            f"{image}: what the registry sends as manifest is none",
            hint="Look at the image with another client; is this host a registry?",
        ) from None
    kind = document.media_type or content_type.partition(";")[0].strip().lower()
    if document.schema_version != _SCHEMA:
        raise _unsupported(image, f"a manifest of schema {document.schema_version}")
    # One that reads as both is an attack (CVE-2021-41190): which it is would be a matter of taste.
    if document.manifests is not None:
        if document.config is not None or bytes(document.layers) != b"null" or kind in _MANIFESTS:
            raise _unsupported(image, "index and manifest in one")
        return Index(_runnable(document.manifests, architectures, image))
    if document.config is None or kind in _INDEXES:
        raise _unsupported(image, "a manifest without a config")
    if document.config.media_type not in _CONFIGS:
        raise _unsupported(image, "an artifact, not a container image")
    return Manifest(digest.checked(document.config.digest, image), document.config.size or 0)


def _runnable(
    manifests: list[_Descriptor], architectures: tuple[str, ...], image: object
) -> tuple[str, ...]:
    """Those that name a platform of ours; else, like containerd, those that name none, whose
    config says it."""
    ours = [
        entry.digest
        for entry in manifests
        if entry.platform is not None
        and entry.platform.os == "linux"
        and entry.platform.architecture in architectures
    ]
    silent = [entry.digest for entry in manifests if entry.platform is None]
    found = {digest.checked(text, image) for text in ours or silent}
    if not found:
        raise no_platform(architectures, image)
    if len(found) > _MOST_PLATFORMS:
        raise ImagePlatformsError(
            f"{image}: {len(found)} variants could run, more than chrek compares",
            hint="Write `command` in the pod, or name one variant by digest",
        )
    return tuple(sorted(found))


def no_platform(architectures: tuple[str, ...], image: object) -> ImagePlatformsError:
    """Of an image that no node could run."""
    wanted = ", ".join(f"linux/{architecture}" for architecture in architectures)
    return ImagePlatformsError(
        f"{image}: it has no variant for {wanted}",
        hint="Look at the platforms that the image was built for",
    )


def _unsupported(image: object, what: str) -> ImageKindError:
    return ImageKindError(
        f"{image}: the registry has {what} under this name",
        hint="Push the image anew with a current tool, or write `command` in the pod",
    )
