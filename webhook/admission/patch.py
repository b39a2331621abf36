"""Two versions of a pod -> the JSON patch (RFC 6902) between them.

jsonpatch compares every member of both, which takes longer than all the rest of an admission. A
pod that chrek takes on shares with its written form, object by object, what was not changed, and
its lists have only grown. So that is followed here, and whatever else differs is jsonpatch's.
"""

from collections.abc import Iterator
from typing import Any

import jsonpatch

Operation = dict[str, Any]


def between(old: Any, new: Any) -> list[Operation]:
    """Operations that make `new` of `old`."""
    return list(_between(old, new, ""))


def _between(old: Any, new: Any, path: str) -> Iterator[Operation]:
    if old is new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _objects(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(old, new, path)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield {"op": "replace", "path": path, "value": new}


def _objects(old: dict[str, Any], new: dict[str, Any], path: str) -> Iterator[Operation]:
    for key, value in new.items():
        below = _below(path, key)
        if key in old:
            yield from _between(old[key], value, below)
        else:
            yield {"op": "add", "path": below, "value": value}
    for key in old:
        if key not in new:
            yield {"op": "remove", "path": _below(path, key)}


def _below(path: str, key: str) -> str:
    """A JSON pointer (RFC 6901) one step deeper."""
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"


def _lists(old: list[Any], new: list[Any], path: str) -> Iterator[Operation]:
    if len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _between(before, after, f"{path}/{index}")
    elif (added := _added(old, new)) is not None:
        for index in added:
            yield {"op": "add", "path": f"{path}/{index}", "value": new[index]}
    else:
        places = ("path", "from")
        for operation in jsonpatch.make_patch(old, new):
            yield {k: path + v if k in places else v for k, v in operation.items()}


def _added(old: list[Any], new: list[Any]) -> range | None:
    """Where `new` has more than `old`, if that is in one place and all else is the same."""
    grown = len(new) - len(old)
    if grown <= 0:
        return None
    start = next((i for i, entry in enumerate(old) if entry is not new[i]), len(old))
    same = all(a is b for a, b in zip(old[start:], new[start + grown :], strict=True))
    return range(start, start + grown) if same else None
