"""The pod's condition chrek.io/Restored. It informs; nothing waits for it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agent.act.report.wording import bounded, stamp
from agent.plan.pod import PodView
from chrek.kube.api import API, JSON
from chrek.kube.errors import APIError
from chrek.pods import names

TYPE: Final = names.RESTORED
MESSAGE_BYTES: Final = 1024
_NOT_FOUND: Final = 404
_OF_ANOTHER: Final = (409, 422)
"""What a patch for another UID than the pod's gives; which of them, versions differ in."""


@dataclass(frozen=True, slots=True)
class Condition:
    """at: when this came to be so."""

    pod: PodView
    restored: bool
    reason: str
    message: str
    at: datetime


async def write(api: API, wanted: Condition) -> bool:
    """Have the pod say so; whether anything had to be written. Raises APIError."""
    path = f"/api/v1/namespaces/{wanted.pod.namespace}/pods/{wanted.pod.name}"
    found = await _pod(api, path, wanted.pod.uid)
    if found is None:
        return False
    before = _before(found)
    body = _body(wanted, before)
    if all(before.get(key) == value for key, value in body.items()):
        return False
    # Merged by type: no other condition is touched, and none is removed. The UID makes sure that
    # it is this pod, and not another of its name.
    change = {"metadata": {"uid": wanted.pod.uid}, "status": {"conditions": [body]}}
    try:
        await api.patch(f"{path}/status", change, kind="strategic")
    except APIError as error:
        if error.status == _NOT_FOUND:
            return False
        if error.status in _OF_ANOTHER and await _pod(api, path, wanted.pod.uid) is None:
            return False
        raise
    return True


async def _pod(api: API, path: str, uid: str) -> JSON | None:
    try:
        found = await api.get(path)
    except APIError as error:
        if error.status == _NOT_FOUND:
            return None
        raise
    return found if (found.get("metadata") or {}).get("uid") == uid else None


def _before(found: JSON) -> dict[str, Any]:
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == TYPE), {})


def _body(wanted: Condition, before: dict[str, Any]) -> dict[str, Any]:
    status = "True" if wanted.restored else "False"
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": TYPE,
        "status": status,
        "reason": bounded(wanted.reason, 128),
        "message": bounded(wanted.message, MESSAGE_BYTES),
        "lastTransitionTime": since or stamp(wanted.at),
    }
