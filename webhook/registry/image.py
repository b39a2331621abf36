"""An image's config: what it starts, and whether its platforms agree on that."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from webhook.registry.errors import ImagePlatformsError, ImageTooLargeError, RegistryAnswerError
from webhook.registry.manifest import no_platform

_NULL = msgspec.Raw(b"null")
_LONGEST_ESCAPE = 6


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """entrypoint, cmd: ENTRYPOINT and CMD in exec form, as containerd starts them; empty where
    the image has none. digest: of what the image's name led to, manifest or index."""

    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    digest: str

    @property
    def bytes_held(self) -> int:
        return 512 + sum(64 + 4 * len(word) for word in self.entrypoint + self.cmd)


@dataclass(frozen=True, slots=True)
class Variant:
    """What the config of one platform says."""

    os: str
    architecture: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]


class _Run(msgspec.Struct, frozen=True, rename={"entrypoint": "Entrypoint", "cmd": "Cmd"}):
    entrypoint: msgspec.Raw = _NULL
    cmd: msgspec.Raw = _NULL


class _Config(msgspec.Struct):
    os: str | None = None
    architecture: str | None = None
    config: _Run | None = None


def parse(content: bytes | bytearray, command_bytes: int, image: object) -> Variant:
    """What a config says; raises RegistryError."""
    try:
        read = msgspec.json.decode(content, type=_Config)
        run = read.config or _Run()
        entrypoint = _words(run.entrypoint, command_bytes, image)
        cmd = _words(run.cmd, command_bytes, image)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise RegistryAnswerError(
            f"{image}: its config is none that containerd could read",
            hint="Push the image anew with a current tool",
        ) from None
    if sum(len(word.encode()) for word in entrypoint + cmd) > command_bytes:
        raise _too_large(command_bytes, image)
    if any("\0" in word for word in entrypoint + cmd):
        raise RegistryAnswerError(f"{image}: its ENTRYPOINT or CMD cannot be started by any node")
    return Variant(read.os or "linux", read.architecture or "", entrypoint, cmd)


def agreed(
    variants: Sequence[Variant], architectures: tuple[str, ...], digest: str, image: object
) -> ImageConfig:
    """What every variant that a node could run starts; raises ImagePlatformsError."""
    running = [
        variant
        for variant in variants
        if variant.os == "linux" and variant.architecture in ("", *architectures)
    ]
    if not running:
        raise no_platform(architectures, image)
    first = running[0]
    for other in running:
        if (other.entrypoint, other.cmd) != (first.entrypoint, first.cmd):
            raise ImagePlatformsError(
                f"{image}: linux/{first.architecture} and linux/{other.architecture} start "
                "different commands, and the pod's node is not known yet",
                hint="Write `command` in the pod, or name one variant by digest",
            )
    return ImageConfig(first.entrypoint, first.cmd, digest)


def _words(raw: msgspec.Raw, command_bytes: int, image: object) -> tuple[str, ...]:
    # Looked at before it is taken apart: a million one-letter words are a hundred MB.
    if len(bytes(raw)) > _LONGEST_ESCAPE * command_bytes:
        raise _too_large(command_bytes, image)
    return msgspec.json.decode(raw, type=tuple[str, ...] | None) or ()


def _too_large(command_bytes: int, image: object) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{image}: its ENTRYPOINT and CMD have more than {command_bytes} bytes",
        hint="Put them into a script in the image",
    )
