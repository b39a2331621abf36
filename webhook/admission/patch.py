"""Two versions of a pod -> the JSON patch (RFC 6902) between them.

jsonpatch compares every member of both, which takes longer than all the rest of an admission. A
pod that chrek takes on shares with its written form, object by object, what was not changed, and
its lists have only grown. So that is followed here, and whatever else differs is jsonpatch's.
"""

from typing import Any, Final

import jsonpatch

Operation = dict[str, Any]

_NOTHING: Final = object()


def between(old: Any, new: Any) -> list[Operation]:
    """Operations that make `new` of `old`."""
    found: list[Operation] = []
    _compare(old, new, "", found)
    return found


def _compare(old: Any, new: Any, path: str, found: list[Operation]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        _objects(old, new, path, found)
    elif isinstance(old, list) and isinstance(new, list):
        _lists(old, new, path, found)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        found.append({"op": "replace", "path": path, "value": new})


def _objects(old: dict[str, Any], new: dict[str, Any], path: str, found: list[Operation]) -> None:
    kept = len(new)
    for key, value in new.items():
        before = old.get(key, _NOTHING)
        if before is value:
            continue
        if before is _NOTHING:
            kept -= 1
            found.append({"op": "add", "path": _below(path, key), "value": value})
        else:
            _compare(before, value, _below(path, key), found)
    if kept < len(old):
        found += [{"op": "remove", "path": _below(path, key)} for key in old if key not in new]


def _below(path: str, key: str) -> str:
    """A JSON pointer (RFC 6901) one step deeper."""
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"


def _lists(old: list[Any], new: list[Any], path: str, found: list[Operation]) -> None:
    if len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            if before is not after:
                _compare(before, after, f"{path}/{index}", found)
    elif (added := _added(old, new)) is not None:
        found += ({"op": "add", "path": f"{path}/{at}", "value": new[at]} for at in added)
    else:
        places = ("path", "from")
        for operation in jsonpatch.make_patch(old, new):
            found.append({k: path + v if k in places else v for k, v in operation.items()})


def _added(old: list[Any], new: list[Any]) -> range | None:
    """Where `new` has more than `old`, if that is in one place and all else is the same."""
    grown = len(new) - len(old)
    if grown <= 0:
        return None
    start = next((i for i, entry in enumerate(old) if entry is not new[i]), len(old))
    same = all(a is b for a, b in zip(old[start:], new[start + grown :], strict=True))
    return range(start, start + grown) if same else None
