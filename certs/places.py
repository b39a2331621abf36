"""Places: the one Secret and the one webhook configuration, in the API server's own words.

Real ones: certs/cluster.py and, without a cluster, certs/directory.py.
"""

from dataclasses import dataclass, field
from typing import Protocol

from certs.pair import Content


@dataclass(frozen=True, slots=True)
class Secret:
    """version: of the object; a write that names another one is refused."""

    content: Content = field(repr=False)
    version: str


@dataclass(frozen=True, slots=True)
class SeenSecret:
    """secret: None where there is none. since: where a watch goes on from what was read."""

    secret: Secret | None
    since: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """bundles: the caBundle of each webhook, by the webhook's name."""

    bundles: dict[str, bytes]
    version: str


@dataclass(frozen=True, slots=True)
class SeenConfiguration:
    """configuration: None where there is none."""

    configuration: Configuration | None
    since: str


class Secrets(Protocol):
    """One named Secret. Every method raises CertsError."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    async def read(self) -> SeenSecret:
        """As it is now: never what a cache remembers."""
        ...

    async def create(self, content: Content) -> None:
        """Raises ConflictError if it exists."""
        ...

    async def replace(self, secret: Secret, content: Content) -> None:
        """Write the keys of `content`, leave all else; ConflictError unless it is `secret`."""
        ...

    async def changed(self, since: str) -> bool:
        """Return once it may have changed, with True, or when no longer watched, with False."""
        ...


class WebhookConfigurations(Protocol):
    """One named MutatingWebhookConfiguration. Every method raises CertsError."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    async def read(self) -> SeenConfiguration:
        """As it is now: never what a cache remembers."""
        ...

    async def trust(self, configuration: Configuration, bundle_pem: bytes) -> None:
        """Set caBundle of all its webhooks; ConflictError unless it is `configuration`."""
        ...

    async def changed(self, since: str) -> bool:
        """As that of Secrets."""
        ...


class NoConfigurations:
    """Where nobody has to be told: no API server calls this server."""

    name = "none"

    async def read(self) -> SeenConfiguration:
        return SeenConfiguration(None, "")

    async def trust(self, configuration: Configuration, bundle_pem: bytes) -> None:
        raise AssertionError

    async def changed(self, since: str) -> bool:
        return False
