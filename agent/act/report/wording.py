"""Texts as the API server and a terminal take them."""

from datetime import datetime
from typing import Final

_CUT: Final = "..."


def bounded(text: str, most_bytes: int) -> str:
    """One line of at most so many bytes; what came from a pod moves no cursor."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    if len(shown.encode()) <= most_bytes:
        return shown
    return shown.encode()[: most_bytes - len(_CUT)].decode(errors="ignore") + _CUT


def stamp(at: datetime) -> str:
    """As Kubernetes writes a time; `at` is in UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
