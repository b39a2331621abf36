"""Settings of the registry lookup, validated once."""

from dataclasses import dataclass
from pathlib import Path

from chrek.errors import UsageError
from webhook.registry import urls


@dataclass(frozen=True, slots=True)
class Settings:
    """Bounds hold for one lookup unless they say otherwise."""

    deadline_seconds: float = 2.0
    """For everything: names, tokens, redirects, waiting for a turn. An admission has 5 s."""

    insecure_registries: frozenset[str] = frozenset()
    """`host` or `host:port`, as image names spell them: asked over plain http, and allowed to be
    on this machine or its link. Token servers and redirects over http must be listed too."""

    ca_bundle: Path | None = None
    """PEM file of certificate authorities trusted besides the system's."""

    architectures: tuple[str, ...] = ("amd64", "arm64")
    """Of a multi-platform image these must agree on what they start."""

    tag_seconds: float = 60.0
    """So long what a tag points at is believed without asking. A digest is believed forever."""

    failure_seconds: float = 5.0
    """So long an image that failed, or a host that is dead, is not asked again."""

    manifest_bytes: int = 4 << 20
    config_bytes: int = 8 << 20
    token_bytes: int = 1 << 20

    command_bytes: int = 64 << 10
    """Most that ENTRYPOINT and CMD together may have: they go into a patch."""

    redirects: int = 5
    """Most that are followed for one document."""

    credentials: int = 8
    """Most that are tried for one image."""

    lookups: int = 32
    lookups_per_registry: int = 16
    """Most at once, in this process; more wait for their turn within their deadline."""

    waiting_lookups: int = 1024
    """Most at once, with those that wait."""

    known_images: int = 1024
    known_bytes: int = 16 << 20
    """Most that is remembered, in this process."""

    def __post_init__(self) -> None:
        for name in ("deadline_seconds", "tag_seconds", "failure_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} of the registry lookup must be above 0")
        if not self.architectures:
            raise UsageError("the registry lookup needs at least one architecture")
        for host in self.insecure_registries:
            url = urls.target(f"http://{host}")
            if url is None or host != host.lower() or url.path != "/" or set(host) & set("/?#"):
                raise UsageError(
                    f"insecure registry {host!r} is not a host or host:port in lower case",
                    hint="Write it as in the image's name, without http://",
                )
