"""Serving: a server's TLS context that goes on with another certificate, with no restart.

Each pair gets a context of its own, and the one that the server listens with hands a connection
over to the newest at the handshake. So a pair that cannot be loaded leaves the one before; an
OpenSSL context that is loaded anew would be half changed then, and keeps a certificate per kind
of key, so that one of another kind would be served beside the new one.
"""

import os
import ssl
from typing import Final

from certs.errors import PairError
from certs.pair import KeyPair

_PASSWORD: Final = ""


class Serving:
    """`context` is for the server, from the beginning; before the first pair every handshake
    fails. To be used in one thread."""

    def __init__(self) -> None:
        self._newest: ssl.SSLContext | None = None
        self.context = _empty()
        self.context.sni_callback = self._hand_over

    @property
    def ready(self) -> bool:
        """Whether a handshake can succeed."""
        return self._newest is not None

    def use(self, pair: KeyPair) -> None:
        """Serve `pair` to every connection from now on; those that exist stay. PairError leaves
        all as it was."""
        self._newest = _loaded(pair)

    def _hand_over(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _of: ssl.SSLContext
    ) -> int | None:
        # Called in every handshake, also when the client names no server.
        if self._newest is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._newest
        return None


def _loaded(pair: KeyPair) -> ssl.SSLContext:
    context = _empty()
    # OpenSSL reads keys from paths only. This one is memory, and needs no writable directory.
    descriptor = os.memfd_create("chrek-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(pair.key_pem + b"\n" + pair.certificate_pem)
        # With a password a key that is encrypted fails; without one OpenSSL asks the terminal.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_PASSWORD)
    except (OSError, ValueError) as error:
        raise PairError(f"certificate and key cannot be loaded: {error}") from error
    finally:
        os.close(descriptor)
    return context


def _empty() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
