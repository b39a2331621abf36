"""One request and its redirects, bounded in bytes and hops.

A secret goes only where it is meant for: past a redirect to another origin there is no
Authorization header any more, also on a way back.
"""

import ssl
from collections.abc import Callable

from aiohttp import ClientResponse
from yarl import URL

from webhook.registry import urls
from webhook.registry.addresses import Internet
from webhook.registry.body import Bodies
from webhook.registry.errand import Call, Errand, Reply
from webhook.registry.errors import ImageTooLargeError, RegistryAnswerError, RegistryUnsafeError
from webhook.registry.hosts import Hosts
from webhook.registry.names import Names
from webhook.registry.places import Places, check_redirect
from webhook.registry.sessions import Sessions
from webhook.registry.settings import Settings

_OK = 200
_REDIRECTS = (301, 302, 303, 307, 308)
_IGNORED_BYTES = 64 << 10


class Transport:
    """Connections to registries, shared by all lookups of the process."""

    def __init__(
        self,
        settings: Settings,
        internet: Internet,
        clock: Callable[[], float],
        trust: ssl.SSLContext,
    ) -> None:
        self._redirects = settings.redirects
        self._names = Names(internet, clock)
        self._places = Places(self._names, settings.insecure_registries)
        self._hosts = Hosts(settings.failure_seconds, settings.deadline_seconds / 2, clock)
        self._bodies = Bodies()
        self._sessions = Sessions(self._names, trust)

    async def close(self) -> None:
        await self._sessions.close()
        await self._names.close()

    async def fetch(self, call: Call) -> Reply:
        """The answer, whatever its status; raises RegistryError."""
        url, authorization = call.url, call.authorization
        for _ in range(1 + self._redirects):
            reply = await self._ask(call, url, authorization)
            if reply.status not in _REDIRECTS:
                return reply
            onward = _onward(call.errand, reply)
            if urls.origin(onward) != urls.origin(url):
                authorization = None
            url = onward
        raise RegistryUnsafeError(
            f"{call.errand.image}: {url.host} redirects {call.what} on and on",
            hint="Look at the registry's storage settings",
        )

    async def _ask(self, call: Call, url: URL, authorization: str | None) -> Reply:
        call.errand.step = f"asking {url.host} for {call.what}"
        headers = {"Accept": call.accept}
        if authorization is not None:
            headers["Authorization"] = authorization
        with self._hosts.watch(call.errand, url) as watch:
            most = await self._places.permitted(call.errand, url)
            async with self._sessions.within(most).request(
                call.method, url, headers=headers, allow_redirects=False
            ) as response:
                watch.answered = True
                body = await self._body(call, response)
                return Reply(url, response.status, response.headers.copy(), body)

    async def _body(self, call: Call, response: ClientResponse) -> bytearray:
        if response.status != _OK or call.method == "HEAD":
            # Read to its end, so that the connection can be used again, unless that is far.
            await self._bodies.read(response, _IGNORED_BYTES)
            return bytearray()
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RegistryAnswerError(
                f"{call.errand.image}: {response.url.host} sends {call.what} packed, unasked",
                hint="Look at any proxy before the registry",
            )
        body = await self._bodies.read(response, call.limit_bytes)
        if body is None:
            raise ImageTooLargeError(
                f"{call.errand.image}: {call.what} has more than {call.limit_bytes} bytes",
                hint="chrek reads no larger one; write `command` in the pod",
            )
        return body


def _onward(errand: Errand, reply: Reply) -> URL:
    onward = urls.target(reply.headers.get("Location", ""), reply.url)
    if onward is None:
        raise RegistryAnswerError(
            f"{errand.image}: {reply.url.host} redirects to something that is no address",
            hint="Look at the registry's storage settings",
        )
    check_redirect(errand, reply.url, onward)
    return onward
