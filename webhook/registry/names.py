"""Names looked up once for all that ask, and only addresses of a permitted zone connected to."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from aiohttp.abc import AbstractResolver, ResolveResult

from webhook.registry.addresses import Address, Internet, Zone, literal
from webhook.registry.flights import Flights
from webhook.registry.memory import Passing

_SECONDS = 10.0
_ENTRIES = 1024


class Names:
    """An Internet whose answers are kept for a moment."""

    def __init__(self, internet: Internet, clock: Callable[[], float]) -> None:
        self._internet = internet
        self._known: Passing[str, Sequence[Address]] = Passing(_ENTRIES, _SECONDS, clock)
        self._flights: Flights[str, Sequence[Address]] = Flights()

    async def within(self, host: str, most: Zone) -> list[Address]:
        """Addresses of `host` that are no nearer than `most`; raises OSError for no host."""
        addresses = await self._addresses(host)
        return [address for address in addresses if self._internet.zone(address) <= most]

    async def zone(self, host: str) -> Zone:
        """Of the farthest address of `host`; raises OSError."""
        return min(self._internet.zone(address) for address in await self._addresses(host))

    async def _addresses(self, host: str) -> Sequence[Address]:
        if address := literal(host):
            return (address,)
        known = self._known.get(host)
        if known is not None:
            return known
        return await self._flights.join(host, lambda: self._look_up(host))

    async def _look_up(self, host: str) -> Sequence[Address]:
        found = tuple(dict.fromkeys(await self._internet.addresses(host)))
        if not found:
            raise OSError("no addresses")
        self._known.put(host, found)
        return found

    async def close(self) -> None:
        await self._flights.close()


class Within(AbstractResolver):
    """aiohttp's way to the addresses: whatever a name has turned into meanwhile, it connects to
    none that was not checked."""

    def __init__(self, names: Names, most: Zone) -> None:
        self._names = names
        self._most = most

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._names.within(host, self._most)
        if not addresses:
            raise OSError("refused")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""
