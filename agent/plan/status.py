"""A Checkpoint's status as its definition allows it: what follows from variants and lease, bounds,
and no empty strings (a member that says nothing is left out).
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from agent.plan.held import MOST_FAILURES
from agent.plan.reading import JSON, entries, member, moment, text, whole

READY: Final = "Ready"
_CONDITIONS: Final = 16
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,127}")
_MESSAGE: Final = 8192
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_UNIT: Final = 1024
_WHOLE: Final = {"sizeBytes", "gpuCount", "gpuBytes", "formatVersion", "restores"}
_LENGTHS: Final = {
    "createdAt": 64, "lastRestoreTime": 64, "node": 253, "architecture": 64, "cpuModel": 256,
    "kernel": 256, "imageDigest": 256, "environmentHash": 128, "gpuProduct": 256, "driver": 128,
    "manifestDigest": 256,
}  # fmt: skip


def stamp(now: datetime) -> str:
    """As Kubernetes writes times: RFC 3339, UTC, whole seconds."""
    return now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def sentence(message: str) -> str:
    """`message`, cut to what a status holds."""
    return message if len(message) <= _MESSAGE else message[: _MESSAGE - 3] + "..."


def word(reason: str) -> str:
    """`reason`, if it is one word in CamelCase."""
    return reason if _REASON.fullmatch(reason) else "Failed"


def settled(status: JSON, now: datetime, *, reason: str, message: str) -> JSON:
    """`status` after a change of its variants or lease, with all that follows from them.

    Ready, whatever else goes on, exactly if some variant can be restored: admission (which looks
    at the phase) and the agent (which looks at variants) agree. reason, message: why it is so.
    """
    variants = list(entries(status, "variants"))
    ready = [each for each in variants if text(each, "phase") == READY]
    if ready:
        phase = READY
    elif member(status, "capture", "renewedAt"):
        phase = "Capturing"
    elif whole(status, "capture", "failures") >= MOST_FAILURES:
        phase = "Failed"
    else:
        phase = "Pending"
    said: JSON = {"phase": phase, "reason": word(reason), "message": sentence(message)}
    kept = {key: value for key, value in status.items() if key not in _DERIVED}
    changed = present({**kept, **said, **_of_variants(variants, ready)})
    return with_condition(
        changed, READY, is_true=phase == READY, reason=reason, message=message, now=now
    )


_DERIVED: Final = ("phase", "reason", "message", "size", "sizeBytes", "node", "gpu")


def with_condition(
    status: JSON, kind: str, *, is_true: bool, reason: str, message: str, now: datetime
) -> JSON:
    """`status` with this condition; the time of a transition stays while its status does."""
    said = "True" if is_true else "False"
    listed = list(entries(status, "conditions"))
    before = next((each for each in listed if each.get("type") == kind), {})
    since = text(before, "lastTransitionTime") if before.get("status") == said else ""
    condition = {
        "type": kind,
        "status": said,
        "lastTransitionTime": since or stamp(now),
        "reason": word(reason),
        "message": sentence(message),
    }
    others = [each for each in listed if each.get("type") != kind][: _CONDITIONS - 1]
    found = sorted([*others, condition], key=lambda each: str(each.get("type")))
    return {**status, "conditions": found}


def present(members: Mapping[str, Any]) -> JSON:
    """Without what says nothing."""
    return {key: value for key, value in members.items() if value not in (None, "", {}, [])}


def bounded_variant(given: JSON, name: str) -> JSON:
    """A variant's members that the definition knows, of its types, cut to its lengths."""
    found: JSON = {"name": name, "phase": READY}
    for key, most in _LENGTHS.items():
        if isinstance(value := given.get(key), str):
            found[key] = value[:most]
    for key in _WHOLE:
        if isinstance(given.get(key), int):
            found[key] = whole(given, key)
    for key in ("createdAt", "lastRestoreTime"):
        if moment(found, key) is None:
            found.pop(key, None)
    cold = given.get("coldStartSeconds")
    if isinstance(cold, int | float) and math.isfinite(cold) and cold > 0:
        found["coldStartSeconds"] = round(cold, 3)
    return present(found)


def _of_variants(variants: list[JSON], ready: list[JSON]) -> JSON:
    """For people: of all variants, and of the newest."""
    if not variants:
        return {}
    total = sum(whole(each, "sizeBytes") for each in variants)
    newest = max(ready or variants, key=lambda each: (text(each, "createdAt"), text(each, "name")))
    product, count = text(newest, "gpuProduct"), whole(newest, "gpuCount")
    return {
        "size": shown_size(total),
        "sizeBytes": total,
        "node": text(newest, "node"),
        "gpu": f"{count} x {product}"[:256] if product and count else "",
    }


def shown_size(size_bytes: int) -> str:
    """For people, such as 37.6 GiB."""
    value = float(size_bytes)
    for unit in _UNITS[:-1]:
        if value < _UNIT:
            return f"{value:.1f} {unit}" if unit != "B" else f"{size_bytes} B"
        value /= _UNIT
    return f"{value:.1f} {_UNITS[-1]}"
