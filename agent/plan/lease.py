"""A Checkpoint's status: before -> after, for everything that an agent has to say of it.

Pure. Each takes the status as it was just read and gives what is to be written, or None where
there is nothing to write; so it can be called again after a conflict, and a second time it
changes nothing. Only `restored` counts.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from agent.plan import held
from agent.plan.checkpoint import TRIMMED
from agent.plan.checkpoint import lease as read
from agent.plan.held import LEASE_SECONDS, MOST_FAILURES, RENEW_SECONDS
from agent.plan.pod import PodView
from agent.plan.reading import JSON, entries, mapping, text, whole
from agent.plan.status import (
    READY,
    bounded_variant,
    present,
    settled,
    stamp,
    with_condition,
)
from chrek.errors import UsageError
from chrek.ids import is_variant

__all__ = [
    "LEASE_SECONDS", "RENEW_SECONDS", "damaged", "dropped", "failed", "learned", "published",
    "released", "renewed", "restored", "taken",
]  # fmt: skip

CAPTURED: Final = "Captured"
"""Condition: what became of the last capture, also while an older variant is Ready."""
_VARIANTS: Final = 64
_IMAGES: Final = 32
_IMAGE: Final = 1024
_WORDS: Final = 1024
_WORD: Final = 65536


def taken(status: JSON, *, node: str, pod: PodView, now: datetime) -> JSON | None:
    """With the lease taken for `pod`; None where it is not to be had now: another holds it, a
    failure is too recent, or there were three.

    A lease that was left to lapse is a capture that died with its agent: that counts as a
    failure, but never as the last, since it says little of the pod.
    """
    before = read(status)
    failures = before.failures if before else 0
    if failures >= MOST_FAILURES or held.wait_seconds(before, now, node=node, pod=pod):
        return None
    if before and before.renewed and failures < MOST_FAILURES - 1:
        failures += 1
    capture = present(
        {
            "node": node[:253],
            "podName": pod.name[:253],
            "podUID": pod.uid[:64],
            "startedAt": stamp(now),
            "renewedAt": stamp(now),
            "failures": failures or None,
        }
    )
    message = f"pod {pod.name} on node {node} is captured"
    return _settled({**status, "capture": capture}, now, reason="Capturing", message=message)


def renewed(status: JSON, *, node: str, pod: PodView, now: datetime) -> JSON | None:
    """With the lease held for longer; None where it is not this pod's any more."""
    before = read(status)
    if before is None or before.renewed is None or not held.is_own(before, node, pod):
        return None
    return {**status, "capture": {**mapping(status, "capture"), "renewedAt": stamp(now)}}


def released(status: JSON, *, now: datetime) -> JSON | None:
    """With the lease given back by a capture that found nothing out: its pod went, or its agent
    ended."""
    before = read(status)
    if before is None or before.renewed is None:
        return None
    message = "the last capture was given up before it was done; the next warm pod is captured"
    return _settled(
        {**status, "capture": _without_lease(status)}, now, reason="Interrupted", message=message
    )


def failed(status: JSON, *, reason: str, message: str, now: datetime) -> JSON | None:
    """With the lease given back by a capture that failed; the third in a row is the last."""
    before = read(status)
    if before is None or before.renewed is None:
        return None
    failures = min(before.failures + 1, MOST_FAILURES)
    capture = {**_without_lease(status), "failures": failures}
    if failures < MOST_FAILURES:
        capture["retryAfter"] = stamp(now + timedelta(seconds=held.backoff_seconds(failures)))
        ending = f"It is tried again after {capture['retryAfter']}"
    else:
        ending = (
            "It failed three times and is not tried again: mend that, then kubectl delete this "
            "Checkpoint"
        )
    said = f"{message.rstrip('.')}. {ending}"
    changed = _settled({**status, "capture": capture}, now, reason=reason, message=said)
    return with_condition(changed, CAPTURED, is_true=False, reason=reason, message=said, now=now)


def published(status: JSON, variant: JSON, *, now: datetime, identity: str = "") -> JSON | None:
    """With `variant` (of the definition's form) among the stored ones, in place of one of the same
    name, and no lease. identity: of its pod; kept from then on. Raises UsageError for a variant
    whose name is none.
    """
    name = variant.get("name")
    if not isinstance(name, str) or not is_variant(name):
        raise UsageError(f"{name!r:.40} is no variant")
    given = bounded_variant(variant, name)
    given.setdefault("createdAt", stamp(now))
    listed = list(entries(status, "variants"))
    for each in listed:
        if each.get("name") == name and each.get("createdAt") == given["createdAt"]:
            given = {**each, **given}  # it was published before, and restored since
    others = [each for each in listed if each.get("name") != name]
    others.sort(key=lambda each: text(each, "createdAt"), reverse=True)
    changed: JSON = {**status, "variants": [given, *others[: _VARIANTS - 1]]}
    changed.pop("capture", None)
    if identity:
        changed["identity"] = identity
    if cold := given.get("coldStartSeconds"):
        changed["coldStartSeconds"] = cold
    message = f"variant {name} was published by node {given.get('node', 'unknown')}"
    changed = _settled(changed, now, reason="Published", message=message)
    changed = with_condition(
        changed, CAPTURED, is_true=True, reason="Published", message=message, now=now
    )
    return None if changed == status else changed


def restored(status: JSON, variant: str, *, seconds: float, now: datetime) -> JSON:
    """With one restore more, of `variant` and of all."""
    when = stamp(now)

    def counted(holder: JSON) -> JSON:
        return {**holder, "restores": whole(holder, "restores") + 1, "lastRestoreTime": when}

    changed = {**counted(status), "lastRestoreSeconds": round(max(seconds, 0.0), 3)}
    changed["variants"] = [
        counted(each) if each.get("name") == variant else each
        for each in entries(status, "variants")
    ]
    return present(changed)


def damaged(status: JSON, variant: str, *, reason: str, message: str, now: datetime) -> JSON | None:
    """With `variant` marked so that no pod waits for it again; None if it is, or is not there."""
    listed = list(entries(status, "variants"))
    if not any(each.get("name") == variant and each.get("phase") == READY for each in listed):
        return None
    marked = [
        {**each, "phase": "Damaged"} if each.get("name") == variant else each for each in listed
    ]
    said = f"variant {variant} is not restored any more: {message}"
    return _settled({**status, "variants": marked}, now, reason=reason, message=said)


def dropped(
    status: JSON, variants: Collection[str], *, reason: str, message: str, now: datetime
) -> JSON | None:
    """Without `variants`, whose data is removed next. None if they are not there."""
    listed = list(entries(status, "variants"))
    kept = [each for each in listed if each.get("name") not in variants]
    if len(kept) == len(listed):
        return None
    changed: JSON = {**status, "variants": kept}
    changed = _settled(changed, now, reason=reason, message=message)
    return with_condition(changed, TRIMMED, is_true=True, reason=reason, message=message, now=now)


def learned(
    status: JSON,
    *,
    image: str,
    digest: str,
    entrypoint: Sequence[str],
    cmd: Sequence[str],
    now: datetime,
) -> JSON | None:
    """With what `image` runs. None if that is known, or more than a status can hold."""
    words = [*entrypoint, *cmd]
    is_too_much = max(len(entrypoint), len(cmd)) > _WORDS or any(len(w) > _WORD for w in words)
    if not 0 < len(image) <= _IMAGE or is_too_much:
        return None
    found = present(
        {
            "image": image,
            "digest": digest if len(digest) <= 256 else "",  # noqa: PLR2004
            "entrypoint": list(entrypoint),
            "cmd": list(cmd),
        }
    )
    listed = list(entries(status, "images"))
    before = next((each for each in listed if each.get("image") == image), {})
    if {key: value for key, value in before.items() if key != "learnedAt"} == found:
        return None
    others = [each for each in listed if each.get("image") != image]
    others.sort(key=lambda each: text(each, "learnedAt"), reverse=True)
    found["learnedAt"] = stamp(now)
    changed = {**status, "images": [found, *others[: _IMAGES - 1]]}
    if not text(status, "phase"):
        return _settled(changed, now, reason="Learned", message="what its image runs is known")
    return changed


def _without_lease(status: JSON) -> JSON:
    """Whose it was stays to be seen."""
    ended = ("renewedAt", "startedAt", "retryAfter")
    return {key: value for key, value in mapping(status, "capture").items() if key not in ended}


def _settled(status: JSON, now: datetime, *, reason: str, message: str) -> JSON:
    """What is Ready stays so for the reason that it had, whatever goes on beside it."""
    is_ready = any(text(each, "phase") == READY for each in entries(status, "variants"))
    if is_ready and text(status, "phase") == READY and reason != "Published":
        reason = text(status, "reason") or reason
        message = text(status, "message", most=8192) or message
    return settled(status, now, reason=reason, message=message)
