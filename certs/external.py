"""External: one round with certificates that somebody else makes (cert-manager). Never writes."""

import logging

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certs import reading
from certs.clock import Clock
from certs.offering import Offering
from certs.outcome import Outcome
from certs.pair import BUNDLE, CERTIFICATE, KEY, Content, KeyPair
from certs.places import Secrets
from certs.settings import Settings
from chrek import logs

_log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 60.0


class External:
    """The Secret is read, and what it holds is served if it can be."""

    def __init__(
        self, settings: Settings, secrets: Secrets, clock: Clock, offering: Offering
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._clock = clock
        self._offering = offering
        self._said = ""

    async def round(self) -> Outcome:
        """Raises CertsError."""
        place = await self._secrets.read()
        pair, fault = self._read(place.secret.content if place.secret else None)
        if pair is not None:
            self._offering.offer(pair, None)
        self._say(fault)
        return Outcome(
            due_seconds=_LOOK_AGAIN_SECONDS, settled=pair is not None, secret_since=place.since
        )

    def _read(self, content: Content | None) -> tuple[KeyPair | None, str]:
        """What to serve, and what is wrong with it. A wrong date or name is for whoever makes
        the certificates to mend: there is nothing better to serve."""
        if content is None:
            return None, "it is missing"
        chain = reading.certificates(content.get(CERTIFICATE, b""))
        key = reading.private_key(content.get(KEY, b""))
        if not chain:
            return None, "tls.crt is missing or damaged"
        if key is None or not reading.fits(key, chain[0]):
            return None, "tls.key is missing, damaged or not the key of tls.crt"
        certificate_pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pair = KeyPair(certificate_pem, key_pem, content.get(BUNDLE, b""))
        if not reading.valid(chain[0], self._clock.now()):
            return pair, "tls.crt has expired or is not yet valid"
        if self._settings.dns_names[0] not in reading.dns_names(chain[0]):
            return pair, f"tls.crt is not for {self._settings.dns_names[0]}"
        return pair, ""

    def _say(self, fault: str) -> None:
        """Once, until it changes."""
        if fault and fault != self._said:
            logs.event(
                _log,
                logging.WARNING,
                "certificate of others unusable",
                secret=self._secrets.name,
                why=fault,
                hint="kubectl describe certificate; or set certificates to chrek",
            )
        self._said = fault
