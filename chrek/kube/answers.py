"""What the API server answered, as a JSON object or as one of our errors."""

from typing import Any, Final

import msgspec

from chrek.kube.errors import AlreadyExistsError, APIError, ConflictError, ExpiredError

_FAILED: Final = 400
_CONFLICT: Final = 409
_GONE: Final = 410
_MESSAGE_CHARACTERS: Final = 300
_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def check(path: str, status: int, content: bytes) -> None:
    """Raises APIError for a refusal, with the server's own words, bounded."""
    if status < _FAILED:
        return
    reason = ""
    try:
        told = msgspec.json.decode(content)
        message, reason = str(told["message"]), told.get("reason")
    except (*_NOT_JSON, KeyError, TypeError):
        message = content[:_MESSAGE_CHARACTERS].decode(errors="replace")
    raised = _raised(status, reason)
    raise raised(f"{path} gave {status}: {message[:_MESSAGE_CHARACTERS]}", status=status)


def _raised(status: int, reason: object) -> type[APIError]:
    if status == _CONFLICT:
        return AlreadyExistsError if reason == "AlreadyExists" else ConflictError
    return ExpiredError if status == _GONE else APIError


def no_answer(path: str, error: Exception) -> APIError:
    """For a request that nothing came back of."""
    return APIError(f"{path}: no answer from the API server: {error or type(error).__name__}")


def decode(path: str, content: bytes) -> dict[str, Any]:
    """The object that was answered; raises APIError."""
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except _NOT_JSON as error:
        raise APIError(f"{path}: the API server's answer is not JSON: {error}") from error
