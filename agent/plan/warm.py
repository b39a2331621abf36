"""Is a pod warm: has it done once what a restored one need not do again?"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agent.plan.container import ContainerView
from agent.plan.pod import PodView
from agent.plan.start import unreadable
from chrek.pods import names

_LOOK_FOR_FILE_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 30.0
"""Where the pod's next change will say it; this is in case one is missed."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """again_seconds: ask again then, or when the pod has changed."""

    again_seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Never:
    """Not in this container's life."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Warm:
    """cold_start_seconds: from the container's start until it was warm."""

    cold_start_seconds: float


def warmth(pod: PodView, now: datetime, *, file_there: bool | None) -> NotYet | Never | Warm:
    """Of the chosen container. file_there: whether the file that checkpoint-after names is there;
    None: not looked for.

    Probes of the user's say it, by the pod's condition ContainersReady. With checkpoint-after that
    time must have passed, or that file be there, *as well*: who has probes and writes it wants
    more than Ready, and a container that is not Ready is at work on becoming it.
    """
    container, wish = pod.chosen, pod.wish
    if container is None or wish is None or not pod.wrapped:
        return _not_asked(pod)
    after, since = wish.checkpoint_after, container.running_since
    if after is None and not container.has_probe:
        return Never(
            "NeverWarm",
            f"container {container.name} has no startup or readiness probe, so nothing says when "
            f"it is warm: add one, or write {names.CHECKPOINT_AFTER}",
        )
    if since is None or pod.ended or (container.has_probe and not _is_ready(pod, since)):
        return NotYet(_LOOK_AGAIN_SECONDS, "not all containers of the pod are Ready")
    if isinstance(after, str):
        return _by_file(after, since, now, file_there=file_there)
    left = (after or 0.0) - (now - since).total_seconds()
    if left > 0:
        return NotYet(left, f"{names.CHECKPOINT_AFTER} has {left:.0f} s to go")
    return Warm(_cold_start_seconds(pod, container, since, after))


def _not_asked(pod: PodView) -> Never:
    if not pod.wrapped:
        return Never("NotTakenOn", "the pod is not one that chrek took on")
    why = unreadable(pod)
    return Never(why.reason, why.message)


def _is_ready(pod: PodView, since: datetime) -> bool:
    """A Ready that is older than the container is of the one before it."""
    return pod.ready and (pod.ready_at is None or pod.ready_at >= since)


def _by_file(
    path: str, since: datetime, now: datetime, *, file_there: bool | None
) -> NotYet | Warm:
    if not file_there:
        return NotYet(_LOOK_FOR_FILE_SECONDS, f"file {path} is not there")
    return Warm(max((now - since).total_seconds(), 0.0))


def _cold_start_seconds(
    pod: PodView, container: ContainerView, since: datetime, after: float | None
) -> float:
    """Until Ready; where checkpoint-after came later, until then."""
    ready = pod.ready_at - since if container.has_probe and pod.ready_at else timedelta()
    return max(ready.total_seconds(), after or 0.0)
