"""HTTP connections, kept apart by how near the hosts are that they may reach."""

import ssl
from pathlib import Path

import aiohttp

from chrek.errors import UsageError
from webhook.registry.addresses import Zone
from webhook.registry.names import Names, Within

_CONNECTIONS = 128


class Sessions:
    """Made inside the running loop; a connection opened for one zone serves no other."""

    def __init__(self, names: Names, trust: ssl.SSLContext) -> None:
        self._sessions = {most: _session(names, most, trust) for most in Zone}

    def within(self, most: Zone) -> aiohttp.ClientSession:
        """Reaches no host that is nearer than `most`."""
        return self._sessions[most]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()


def trusted(ca_bundle: Path | None) -> ssl.SSLContext:
    """The system's authorities and those of `ca_bundle`; raises UsageError."""
    trust = ssl.create_default_context()
    if ca_bundle is not None:
        try:
            trust.load_verify_locations(cafile=ca_bundle)
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(
                f"CA bundle {ca_bundle} cannot be used: {error.strerror or error}",
                hint="It must be a readable file of PEM certificates",
            ) from error
    return trust


def _session(names: Names, most: Zone, trust: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=Within(names, most), use_dns_cache=False, ssl=trust, limit=_CONNECTIONS
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the lookup's is above
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": "chrek"},  # digests are of raw bytes
        auto_decompress=False,
        trust_env=False,  # a netrc or a proxy would be the webhook's, not the pod's
    )
