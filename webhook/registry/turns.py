"""Lookups take turns: so many at once, and no registry has all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """One process's."""

    def __init__(self, most: int, most_per_host: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._most_per_host = most_per_host
        self._hosts: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for one of `host`, then for one of all: a slow host's queue keeps none of all."""
        semaphore, users = self._hosts.get(host) or (asyncio.Semaphore(self._most_per_host), 0)
        self._hosts[host] = (semaphore, users + 1)
        try:
            async with semaphore, self._all:
                yield
        finally:
            semaphore, users = self._hosts.pop(host)
            if users > 1:
                self._hosts[host] = (semaphore, users - 1)
