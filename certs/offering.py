"""Offering: the pair that this process serves, and the first of them."""

import asyncio
import logging
from collections.abc import Callable

from cryptography import x509

from certs import reading
from certs.pair import KeyPair
from chrek import logs

_log = logging.getLogger(__name__)


class Offering:
    """on_change is told of every pair that takes over. An error of it leaves the old one."""

    def __init__(self, on_change: Callable[[KeyPair], object]) -> None:
        self._on_change = on_change
        self._first = asyncio.Event()
        self.pair: KeyPair | None = None
        self.certificate: x509.Certificate | None = None
        self.issuer: x509.Certificate | None = None

    def offer(self, pair: KeyPair, issuer: x509.Certificate | None) -> None:
        """Serve `pair` from now on; nothing happens if it is served already."""
        if self.same(pair):
            return
        self._on_change(pair)
        self.pair, self.issuer = pair, issuer
        self.certificate = reading.certificates(pair.certificate_pem)[0]
        logs.event(
            _log,
            logging.INFO,
            "certificate to serve",
            serial=f"{self.certificate.serial_number:x}",
            issuer=reading.common_name(self.certificate.issuer),
            until=self.certificate.not_valid_after_utc.isoformat(),
        )
        self._first.set()

    def same(self, pair: KeyPair) -> bool:
        """Whether `pair` is what is served, whatever its bundle."""
        served = self.pair
        return served is not None and (served.certificate_pem, served.key_pem) == (
            pair.certificate_pem,
            pair.key_pem,
        )

    async def first(self) -> KeyPair:
        """Wait until there is one."""
        await self._first.wait()
        assert self.pair is not None
        return self.pair
