"""JSON of any form -> values of a known type and bound; what is of another form reads as absent.

The API server checks most of what it stores, but not every member of every version, and a status
is written by whoever may write it. Deciding must not end at a string that is a number.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

JSON = dict[str, Any]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOST: Final = 2**63 - 1
_TEXT: Final = 1024


def mapping(holder: object, *path: str) -> Mapping[str, Any]:
    """The object at `path` below `holder`; empty where there is none."""
    found = member(holder, *path)
    return found if isinstance(found, dict) else {}


def member(holder: object, *path: str) -> Any:
    """Whatever is at `path` below `holder`; None where nothing is."""
    for key in path:
        holder = holder.get(key) if isinstance(holder, dict) else None
    return holder


def entries(holder: object, *path: str) -> Iterator[JSON]:
    """The objects in the list at `path`."""
    found = member(holder, *path)
    if isinstance(found, list):
        yield from (entry for entry in found if isinstance(entry, dict))


def text(holder: object, *path: str, most: int = _TEXT) -> str:
    """The string at `path`; empty where there is none, or one longer than `most`."""
    found = member(holder, *path)
    return found if isinstance(found, str) and len(found) <= most else ""


def strings(holder: object, *path: str) -> dict[str, str]:
    """The members at `path` whose values are strings, as in labels and annotations."""
    found = mapping(holder, *path).items()
    return {key: value for key, value in found if isinstance(key, str) and isinstance(value, str)}


def whole(holder: object, *path: str, default: int = 0, least: int = 0, most: int = MOST) -> int:
    """The integer at `path`, brought between `least` and `most`; `default` where there is none."""
    found = member(holder, *path)
    if not isinstance(found, int) or isinstance(found, bool):
        return default
    return min(max(found, least), most)


def seconds(holder: object, *path: str) -> float | None:
    """The number at `path`, if it is one that a duration can be."""
    found = member(holder, *path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 <= found <= MOST else None


def moment(holder: object, *path: str) -> datetime | None:
    """The time at `path` (RFC 3339), in UTC."""
    try:
        found = datetime.fromisoformat(text(holder, *path, most=64))
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
