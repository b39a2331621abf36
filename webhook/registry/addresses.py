"""Where a host name leads, and how near that is to the webhook: public, private or local.

Image names and what a registry answers are written by others, so they must not make the webhook
ask hosts that only it can reach. What is checked here is the address that is connected to.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Protocol

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MOST_THREADS = 16


class Zone(IntEnum):
    """PUBLIC: the internet. PRIVATE: networks of an organisation or cluster. LOCAL: this machine,
    its link (cloud metadata) and what is no host at all."""

    PUBLIC = 0
    PRIVATE = 1
    LOCAL = 2


class TooManyNamesError(OSError):
    """No thread is free to look up a name."""


class Internet(Protocol):
    """Host names and addresses as the webhook sees them."""

    async def addresses(self, host: str) -> Sequence[Address]:
        """Of a host name, never empty; raises OSError."""
        ...

    def zone(self, address: Address) -> Zone: ...


def literal(host: str) -> Address | None:
    """`host` as an address, if it is one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def zone(address: Address) -> Zone:
    """How near `address` is; one that carries an IPv4 address is as near as that."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(address.packed[12:])
        if inner is not None:
            return zone(inner)
        if address.is_site_local:
            return Zone.PRIVATE
    if (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    ):
        return Zone.LOCAL
    return Zone.PUBLIC if address.is_global else Zone.PRIVATE


class SystemInternet:
    """The system's resolver, on threads of its own.

    A name server that never answers holds a thread for long: these are bounded, are not those
    that the rest of the process uses, and do not keep the process from ending.
    """

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(_MOST_THREADS)

    def zone(self, address: Address) -> Zone:
        return zone(address)

    async def addresses(self, host: str) -> Sequence[Address]:
        if not self._free.acquire(blocking=False):
            raise TooManyNamesError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Address]] = loop.create_future()
        try:
            threading.Thread(target=self._look_up, args=(host, loop, answer), daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise TooManyNamesError from error
        return await answer

    def _look_up(
        self, host: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[list[Address]]
    ) -> None:
        found: list[Address] | OSError
        try:
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found = [ipaddress.ip_address(info[4][0]) for info in infos]
        except (OSError, UnicodeError) as error:
            found = error if isinstance(error, OSError) else OSError("no host name")
        finally:
            self._free.release()
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_settle, answer, found)


def _settle(answer: asyncio.Future[list[Address]], found: list[Address] | OSError) -> None:
    if answer.done():
        return
    if isinstance(found, OSError):
        answer.set_exception(found)
    else:
        answer.set_result(found)
