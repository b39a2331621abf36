"""Where a lookup may go: https anywhere that is not this machine or its link; plain http and those
only if the operator lists the host; on a registry's word no nearer than the registry itself."""

from collections.abc import Iterable

from yarl import URL

from webhook.registry import urls
from webhook.registry.addresses import Zone
from webhook.registry.errand import Errand
from webhook.registry.errors import RegistryUnsafeError
from webhook.registry.names import Names


class Places:
    """The rules, for one process."""

    def __init__(self, names: Names, insecure_registries: Iterable[str]) -> None:
        self._names = names
        self._insecure = frozenset(map(urls.http_authority, insecure_registries))

    async def permitted(self, errand: Errand, url: URL) -> Zone:
        """How near the host of `url` may be; raises RegistryUnsafeError when it is nearer and
        OSError when there is no such host."""
        place, host = urls.authority(url), url.raw_host or ""
        if url.scheme == "http" and place not in self._insecure:
            raise RegistryUnsafeError(
                f"{errand.image}: {host} would be asked over plain http",
                hint="Use https, or list the host among the insecure registries",
            )
        if place == urls.authority(errand.registry):
            most = Zone.LOCAL if url.scheme == "http" else Zone.PRIVATE
        else:
            most = await self._names.zone(errand.registry.raw_host or "")
        if not await self._names.within(host, most):
            raise RegistryUnsafeError(
                f"{errand.image}: {host} is nearer to the webhook than it may be asked",
                hint="Registries on this machine must be listed as insecure; redirects and token "
                "servers in private networks need a registry there",
            )
        return most


def check_redirect(errand: Errand, before: URL, after: URL) -> None:
    """Raise RegistryUnsafeError for a way out of https."""
    if before.scheme == "https" and after.scheme == "http":
        raise RegistryUnsafeError(
            f"{errand.image}: {before.host} leads to {after.host} over plain http",
            hint="Look at the registry's storage and token settings",
        )
