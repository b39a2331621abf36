"""WWW-Authenticate headers (RFC 9110 11.6.1): what a registry wants to be shown."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PIECE = re.compile(
    rf"[\s,]*(?P<name>{_WORD})(?:\s*=\s*(?:(?P<quoted>{_QUOTED})|(?P<plain>{_WORD}))|(?!\s*=))"
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """scheme and the names of parameters in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse(headers: Iterable[str]) -> list[Challenge]:
    """All challenges of all headers, in order; what cannot be read ends its header."""
    found: list[Challenge] = []
    for header in headers:
        position, current = 0, None
        while match := _PIECE.match(header, position):
            position = match.end()
            quoted, plain = match["quoted"], match["plain"]
            if quoted is None and plain is None:
                current = Challenge(match["name"].lower(), {})
                found.append(current)
            elif current is None:
                break
            else:
                value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1:-1])
                current.parameters.setdefault(match["name"].lower(), value)
    return found
