"""AdmissionReview v1 (admission.k8s.io/v1): bytes -> a question, an answer -> bytes.

Whoever reaches the port can send anything, so what is not a question of the API server's gets a
sentence and a 4xx. The API server takes that as a failed call, and creates the pod unchanged.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec

from chrek.errors import ChrekError
from chrek.ids import is_label
from webhook.admission.patch import Operation

_VERSION: Final = "admission.k8s.io/v1"
_MAX_UID: Final = 256


class NotAReviewError(ChrekError):
    """The body is no AdmissionReview that this webhook can answer."""

    reason: ClassVar[str] = "NotAReview"


@dataclass(frozen=True, slots=True)
class Question:
    """pod: the object of a request to create a pod; None for any other request."""

    uid: str
    namespace: str
    pod: dict[str, Any] | None


def question(body: bytes) -> Question:
    """Raises NotAReviewError."""
    try:
        review = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotAReviewError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise NotAReviewError("the body is nested too deeply") from error
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise NotAReviewError("the body is not an AdmissionReview")
    if review.get("apiVersion") != _VERSION:
        raise NotAReviewError(f"apiVersion is not {_VERSION}, the only one that is understood")
    request = review.get("request")
    if not isinstance(request, dict):
        raise NotAReviewError("the AdmissionReview has no request")
    uid = request.get("uid")
    if not isinstance(uid, str) or not 0 < len(uid) <= _MAX_UID:
        raise NotAReviewError("the request has no uid")
    return Question(uid, _namespace(request.get("namespace")), _pod(request))


def _namespace(value: object) -> str:
    """It becomes part of paths that are asked for."""
    return value if isinstance(value, str) and is_label(value) else ""


def _pod(request: dict[str, Any]) -> dict[str, Any] | None:
    kind = request.get("kind")
    kind = kind if isinstance(kind, dict) else {}
    found = request.get("object")
    asked = kind.get("kind"), kind.get("version"), kind.get("group") or "", request.get("operation")
    if asked != ("Pod", "v1", "", "CREATE") or request.get("subResource"):
        return None
    return found if isinstance(found, dict) else None


def answer(uid: str, operations: Sequence[Operation], warnings: Sequence[str]) -> bytes:
    """Allowed, always."""
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if operations:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(msgspec.json.encode(operations)).decode()
    if warnings:
        response["warnings"] = list(warnings)
    review = {"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response}
    return msgspec.json.encode(review)
