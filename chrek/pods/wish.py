"""What a user asked for: the annotations of a pod, over those of its namespace.

Pure. Every value comes from whoever may create pods, so each is checked and none is trusted.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeVar

from chrek.errors import ChrekError
from chrek.ids import is_label
from chrek.pods import names

OnFailure = Literal["cold-start", "fail"]
AfterCheckpoint = Literal["continue", "exit"]

MAX_RESTORE_TIMEOUT_SECONDS: Final = 3600
_T = TypeVar("_T", bound=str)
_PREFIX: Final = f"{names.GROUP}/"
_SHOWN: Final = 60
_HINTS: Final = 5
"""Admission comes before validation: a pod may have 200,000 annotations, each 1 ms to match."""
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_IMAGE = re.compile(r"[!-~]{1,512}")

_NOT_NAMES: Final = frozenset(
    ("true", "false", "on", "off", "yes", "no", "none", "enabled", "disabled", "0", "1")
)
"""Nobody who writes these means a name."""
_LATER: Final = (names.PROFILE, names.PRE_CHECKPOINT, names.POST_RESTORE)
_OURS: Final = (names.CHECKPOINT_ID, names.IDENTITY, names.AS_WRITTEN)
_KNOWN: Final = (
    names.CHECKPOINT,
    names.CONTAINER,
    names.CHECKPOINT_IMAGE,
    names.CLAIM,
    names.ON_FAILURE,
    names.RESTORE_TIMEOUT,
    names.CHECKPOINT_AFTER,
    names.AFTER_CHECKPOINT,
    names.IGNORE_ENV,
    *_LATER,
)
_SUFFIXES: Final = [key.removeprefix(_PREFIX) for key in _KNOWN]


class WishError(ChrekError):
    """An annotation has a value that makes no sense."""

    reason: ClassVar[str] = "InvalidAnnotation"


@dataclass(frozen=True, slots=True)
class Wish:
    """checkpoint: `auto` or a name of the user's own. restore_timeout_seconds: None means the
    recorded cold-start time. checkpoint_after: seconds, or an absolute path whose file says that
    the pod is warm; None means that probes say so.
    """

    checkpoint: str
    container: str | None = None
    checkpoint_image: str | None = None
    claim: str = names.DEFAULT_CLAIM
    on_failure: OnFailure = "cold-start"
    restore_timeout_seconds: int | None = None
    checkpoint_after: float | str | None = None
    after_checkpoint: AfterCheckpoint = "continue"
    ignore_env: frozenset[str] = frozenset()


def read(pod: Mapping[str, str], namespace: Mapping[str, str]) -> Wish | None:
    """The wish of a pod with these annotations in a namespace with those; None: no wish at all.

    A namespace sets defaults, but a pod is switched on by its own template only. Raises WishError.
    """
    if names.CHECKPOINT not in pod:
        return None
    found = {key: value for key, value in namespace.items() if key in _KNOWN} | dict(pod)
    for key in _LATER:
        if key in found:
            raise WishError(f"{key} is not supported by this version of chrek")
    return Wish(
        checkpoint=_checkpoint(found[names.CHECKPOINT]),
        container=_matching(found, names.CONTAINER, is_label, "the name of a container"),
        checkpoint_image=_matching(found, names.CHECKPOINT_IMAGE, _is_image, "an image"),
        claim=_matching(found, names.CLAIM, _is_subdomain, "the name of a PersistentVolumeClaim")
        or names.DEFAULT_CLAIM,
        on_failure=_choice(found, names.ON_FAILURE, "cold-start", "fail"),
        restore_timeout_seconds=_timeout(found),
        checkpoint_after=_warm(found),
        after_checkpoint=_choice(found, names.AFTER_CHECKPOINT, "continue", "exit"),
        ignore_env=_variables(found),
    )


def unknown(pod: Mapping[str, str]) -> list[str]:
    """A sentence for each of the first annotations of chrek's that chrek does not know."""
    strange = (k for k in pod if k.startswith(_PREFIX) and k not in _KNOWN and k not in _OURS)
    found = []
    for key in sorted(strange)[:_HINTS]:
        near = difflib.get_close_matches(key[len(_PREFIX) : _SHOWN], _SUFFIXES, n=1)
        cure = f"; did you mean {_PREFIX}{near[0]}?" if near else ""
        found.append(f"annotation {shown(key)} is unknown{cure}")
    return found


def shown(value: str) -> str:
    """`value` as a sentence may show it: printable ASCII, quoted, cut."""
    text = ascii(value[: _SHOWN + 1])
    return text if len(text) <= _SHOWN + 2 else text[:_SHOWN] + "..." + text[-1]


def _wrong(key: str, value: str, wanted: str) -> WishError:
    return WishError(f"{key} is {shown(value)}, not {wanted}")


def _checkpoint(value: str) -> str:
    if value.strip().lower() in _NOT_NAMES:
        raise WishError(
            f"{names.CHECKPOINT} is {shown(value)}, which would name a checkpoint: write "
            f"{names.AUTO}, or leave the annotation out"
        )
    if not is_label(value):
        raise _wrong(names.CHECKPOINT, value, f"{names.AUTO} or a DNS label")
    return value


def _is_image(value: str) -> bool:
    return _IMAGE.fullmatch(value) is not None


def _is_subdomain(value: str) -> bool:
    return len(value) <= 253 and _SUBDOMAIN.fullmatch(value) is not None  # noqa: PLR2004


def _matching(
    found: Mapping[str, str], key: str, matches: Callable[[str], bool], wanted: str
) -> str | None:
    value = found.get(key)
    if value is not None and not matches(value):
        raise _wrong(key, value, wanted)
    return value


def _choice(found: Mapping[str, str], key: str, first: _T, second: _T) -> _T:
    value = found.get(key, first)
    for choice in (first, second):
        if value == choice:
            return choice
    raise _wrong(key, value, f"{first} or {second}")


def _seconds(value: str) -> float | None:
    """Plain decimal digits only: no sign, exponent, infinity or foreign digits."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return None
    return float(value)


def _timeout(found: Mapping[str, str]) -> int | None:
    value = found.get(names.RESTORE_TIMEOUT)
    if value is None:
        return None
    seconds = _seconds(value)
    if seconds is None or not 1 <= seconds <= MAX_RESTORE_TIMEOUT_SECONDS:
        wanted = f"a number of seconds from 1 to {MAX_RESTORE_TIMEOUT_SECONDS}"
        raise _wrong(names.RESTORE_TIMEOUT, value, wanted)
    return math.ceil(seconds)


def _warm(found: Mapping[str, str]) -> float | str | None:
    value = found.get(names.CHECKPOINT_AFTER)
    if value is None:
        return None
    path = value.removeprefix("file:")
    if path != value and path.startswith("/") and path.isprintable():
        return path
    seconds = _seconds(value)
    if seconds is None:
        raise _wrong(names.CHECKPOINT_AFTER, value, "a number of seconds or file:/absolute/path")
    return seconds


def _variables(found: Mapping[str, str]) -> frozenset[str]:
    value = found.get(names.IGNORE_ENV, "")
    listed = frozenset(value.replace(",", " ").split())
    for name in sorted(listed):
        if not _VARIABLE.fullmatch(name):
            raise _wrong(names.IGNORE_ENV, value, "a list of environment variables, with commas")
    return listed
