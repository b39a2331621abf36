"""Reading an answer's body up to a bound."""

import asyncio

from aiohttp import ClientResponse

_LARGE_BYTES = 256 << 10
_LARGE_AT_ONCE = 4


class Bodies:
    """Of all answers of the process: few large ones are held at once."""

    def __init__(self) -> None:
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def read(self, response: ClientResponse, limit_bytes: int) -> bytearray | None:
        """The body, or None as soon as it is known to be larger than `limit_bytes`."""
        if (response.content_length or 0) > limit_bytes:
            return None
        body = bytearray()
        if await _more(response, body, min(_LARGE_BYTES, limit_bytes)):
            return body
        async with self._large:
            return body if await _more(response, body, limit_bytes) else None


async def _more(response: ClientResponse, body: bytearray, limit_bytes: int) -> bool:
    """Read on into `body`; whether it ended within `limit_bytes`."""
    while len(body) <= limit_bytes:
        chunk = await response.content.readany()
        if not chunk:
            return True
        body += chunk
    return False
