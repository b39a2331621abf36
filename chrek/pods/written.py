"""A pod that chrek took on, and the same pod as its user wrote it.

Pure, and each the inverse of the other: an annotation keeps what was written wherever chrek wrote
something else. So a pod that comes by a second time (the API server asks again after another
webhook, or somebody copies a live pod) is judged by what its user wrote.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from chrek.pods import names, wrapping

Pod = dict[str, Any]
"""The API's JSON object of a pod."""

_MAX_BYTES: Final = 256 << 10
"""The API server takes no more in all annotations of a pod."""
_OURS_IN_SPEC: Final = {
    "volumes": {names.DIR_VOLUME, names.CLAIM_VOLUME},
    "initContainers": {names.INIT_CONTAINER},
}
_ANNOTATIONS: Final = (names.CHECKPOINT_ID, names.IDENTITY, names.AS_WRITTEN)


Member = Literal[
    "command", "args", "image", "securityContext",
    "startupProbe", "readinessProbe", "livenessProbe",
]  # fmt: skip
MEMBERS: Final[tuple[Member, ...]] = get_args(Member)


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """was: what stood there, null for nothing. ours: digest of what chrek wrote in its place, so
    that what others have written over that since is theirs and stays.
    """

    was: Any
    ours: str


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What AS_WRITTEN holds. container: the chosen one. members: those of it that chrek wrote
    anew. `command` is among them only if the command is the image's; else it is the wrapped one
    without its prefix.
    """

    container: Annotated[str, msgspec.Meta(max_length=253)]
    members: dict[Member, Kept] = {}


def instead(was: Any, ours: Any) -> Kept:
    """That chrek wrote `ours` where `was` stood."""
    return Kept(was, _digest(ours))


def record(pod: Mapping[str, Any]) -> Record | None:
    """The record of a pod that was taken on, None of any other.

    Whoever creates pods can forge it, and gains nothing: it speaks of their own pod.
    """
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    text = annotations.get(names.AS_WRITTEN)
    if names.CHECKPOINT_ID not in annotations or text is None or len(text) > _MAX_BYTES:
        return None
    try:
        found = msgspec.json.decode(text, type=Record)
    except (msgspec.MsgspecError, RecursionError):
        return None
    wrapped = any(_is_ours(container, found) for container in pod["spec"].get("containers") or [])
    return found if wrapped else None


def as_written(pod: Pod, kept: Record) -> Pod:
    """`pod`, which was taken on with `kept`, without anything of chrek's."""
    spec = dict(pod["spec"])
    for member, ours in _OURS_IN_SPEC.items():
        _filter(spec, member, ours)
    spec["containers"] = [
        _container(container, kept) if _is_ours(container, kept) else container
        for container in spec["containers"]
    ]
    metadata = dict(pod["metadata"])
    _without(metadata, "annotations", _ANNOTATIONS)
    _without_volume(metadata)
    _without(metadata, "labels", (names.ROLE_LABEL,))
    return {**pod, "metadata": metadata, "spec": spec}


def _is_ours(container: Mapping[str, Any], kept: Record) -> bool:
    return container.get("name") == kept.container and wrapping.is_wrapped(container.get("command"))


def _container(container: dict[str, Any], kept: Record) -> dict[str, Any]:
    written = dict(container)
    written["command"] = wrapping.unwrapped(container["command"])
    for member, one in kept.members.items():
        value = container.get(member)
        if _digest(value) != one.ours and not wrapping.asks_ready(value):
            continue
        if one.was is None:
            written.pop(member, None)
        else:
            written[member] = one.was
    if "command" in written and "args" in container:  # words of the image, edited: all of them
        written["args"] = container["args"]
    _filter(written, "volumeMounts", _OURS_IN_SPEC["volumes"])
    return written


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]


def _filter(holder: dict[str, Any], member: str, ours: set[str]) -> None:
    if member in holder:
        left = [entry for entry in holder[member] or [] if entry.get("name") not in ours]
        _set(holder, member, left)


def _without(holder: dict[str, Any], member: str, keys: tuple[str, ...]) -> None:
    left = {key: value for key, value in (holder.get(member) or {}).items() if key not in keys}
    if member in holder:
        _set(holder, member, left)


def _without_volume(metadata: dict[str, Any]) -> None:
    """Our emptyDir is no more among those that do not matter to the autoscaler."""
    annotations = metadata.get("annotations") or {}
    safe = annotations.get(names.SAFE_TO_EVICT)
    if safe == names.DIR_VOLUME:
        _without(metadata, "annotations", (names.SAFE_TO_EVICT,))
    elif isinstance(safe, str) and safe.endswith(f",{names.DIR_VOLUME}"):
        kept = safe.removesuffix(f",{names.DIR_VOLUME}")
        metadata["annotations"] = {**annotations, names.SAFE_TO_EVICT: kept}


def _set(holder: dict[str, Any], member: str, left: Any) -> None:
    if left:
        holder[member] = left
    else:
        del holder[member]
