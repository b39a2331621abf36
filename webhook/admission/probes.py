"""Probes of a container whose checkpoint is known to be Ready: quick to see that it is warm, and
patient while it is restored.

Pure. Budgets stay what the user meant, counted in seconds: a period of one second gets as many
more failures.
"""

from collections.abc import Mapping
from typing import Any, Final

from chrek.pods import wrapping

_PERIOD_SECONDS: Final = 10
_FAILURES: Final = 3
_MOST: Final = 2**31 - 1
KINDS: Final = ("startupProbe", "readinessProbe", "livenessProbe")


def adjusted(
    container: Mapping[str, Any], timeout_seconds: int, *, in_image: bool
) -> dict[str, dict[str, Any]]:
    """The probes to write anew, by their member's name."""
    found = {kind: container[kind] for kind in KINDS if container.get(kind)}
    changed: dict[str, dict[str, Any]] = {}
    if startup := found.get("startupProbe"):
        failures = _delay(startup) + _budget(startup) + timeout_seconds
        changed["startupProbe"] = _every_second(startup, failures)
    if readiness := found.get("readinessProbe"):
        changed["readinessProbe"] = _every_second(readiness, _budget(readiness))
    if liveness := found.get("livenessProbe"):
        delay = min(_delay(liveness) + timeout_seconds, _MOST)
        changed["livenessProbe"] = {**liveness, "initialDelaySeconds": delay}
    if "startupProbe" not in found and "readinessProbe" not in found:
        changed["startupProbe"] = _own(in_image=in_image)
    return changed


def _own(*, in_image: bool) -> dict[str, Any]:
    """Not Ready before the command runs. As a startup probe it ends with its first success; a
    container that never gets there has ended, so its failures need no limit.
    """
    return {
        "exec": {"command": wrapping.ready(in_image=in_image)},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": _MOST,
    }


def _delay(probe: Mapping[str, Any]) -> int:
    return int(probe.get("initialDelaySeconds") or 0)


def _budget(probe: Mapping[str, Any]) -> int:
    """Seconds of failing that the user tolerates."""
    period = int(probe.get("periodSeconds") or _PERIOD_SECONDS)
    return period * int(probe.get("failureThreshold") or _FAILURES)


def _every_second(probe: Mapping[str, Any], failures: int) -> dict[str, Any]:
    quick = {**probe, "periodSeconds": 1, "failureThreshold": min(failures, _MOST)}
    quick.pop("initialDelaySeconds", None)
    return quick
