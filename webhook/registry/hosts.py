"""Hosts that do not answer are left alone for a moment, so that they do not hold admissions up."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
from yarl import URL

from webhook.registry import urls
from webhook.registry.addresses import TooManyNamesError
from webhook.registry.errand import Errand
from webhook.registry.errors import RegistryBusyError, RegistryUnreachableError
from webhook.registry.memory import Passing

_MOST = 1024
_CAUSES = (
    (socket.gaierror, "has no address"),
    (aiohttp.ClientOSError, "breaks off its answer"),
    (aiohttp.ServerDisconnectedError, "breaks off its answer"),
    (aiohttp.ClientPayloadError, "breaks off its answer"),
    (aiohttp.ClientError, "does not speak HTTP"),
    (ValueError, "does not speak HTTP"),
    (Exception, "cannot be reached"),
)


class Watch:
    """Of one request: whether the host has answered, be it with an error."""

    answered = False


class Hosts:
    """What is known of hosts, by authority: of the registry on whose word they are asked, too, as
    that chose what they were asked for."""

    def __init__(
        self, failure_seconds: float, patience_seconds: float, clock: Callable[[], float]
    ) -> None:
        """patience_seconds: a silence of that length is the host's fault. A request that was
        given less says nothing of it: its lookup may have used up its time elsewhere."""
        self._dead: Passing[tuple[str, str], str] = Passing(_MOST, failure_seconds, clock)
        self._patience_seconds = patience_seconds
        self._clock = clock

    @contextmanager
    def watch(self, errand: Errand, url: URL) -> Iterator[Watch]:
        """Around one request to `url`; turns its failures into RegistryError."""
        place = (urls.authority(errand.registry), urls.authority(url))
        if (cause := self._dead.get(place)) is not None:
            raise _unreachable(errand, url, f"{cause} a moment ago")
        watch, began = Watch(), self._clock()
        try:
            yield watch
        except TooManyNamesError:
            raise RegistryBusyError(f"{errand.image}: too many names are looked up") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if not watch.answered:
                self._dead.put(place, _cause(error))
            raise _unreachable(errand, url, _cause(error)) from None
        except asyncio.CancelledError:
            if not watch.answered and self._clock() - began >= self._patience_seconds:
                self._dead.put(place, "did not answer")
            raise


def _unreachable(errand: Errand, url: URL, cause: str) -> RegistryUnreachableError:
    return RegistryUnreachableError(
        f"{errand.image}: {url.host} {cause}",
        hint="Look at the network between webhook and registry (NetworkPolicy, proxy, CA bundle)",
    )


def _cause(error: Exception) -> str:
    """In words of our own: those of libraries may quote what was sent."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"has no certificate to trust ({_why(error.certificate_error, 'verify_message')})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be connected to ({_why(error.os_error, 'strerror')})"
    return next(words for kind, words in _CAUSES if isinstance(error, kind))


def _why(error: Exception, attribute: str) -> str:
    return str(getattr(error, attribute, None) or type(error).__name__)
