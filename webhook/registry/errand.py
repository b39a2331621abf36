"""One lookup as the parts below it see it."""

from dataclasses import dataclass, field, replace
from typing import Self

from multidict import CIMultiDict
from yarl import URL

from webhook.registry import urls
from webhook.registry.reference import Reference


@dataclass(slots=True)
class Errand:
    """image: for messages. registry: its URL; on its word other hosts are asked. step: where it
    stands, should its time end there."""

    image: Reference
    registry: URL
    step: str = "waiting for a turn"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. what: is asked for, as messages say it."""

    errand: Errand
    url: URL
    what: str
    limit_bytes: int
    method: str = "GET"
    accept: str = "*/*"
    authorization: str | None = field(default=None, repr=False)

    def showing(self, authorization: str | None) -> Self:
        """The same with this Authorization header."""
        return replace(self, authorization=authorization)


@dataclass(frozen=True, slots=True)
class Reply:
    """url: of who answered in the end. body: only with status 200."""

    url: URL
    status: int
    headers: CIMultiDict[str]
    body: bytearray = field(repr=False)

    def at(self, url: URL) -> bool:
        """Whether it is of the origin that `url` names, not of one redirected to."""
        return urls.origin(self.url) == urls.origin(url)
