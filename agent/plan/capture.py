"""A warm pod: is it captured now, later, or not at all?

Everything is asked that can be answered without touching the source. What would harm it is
refused here (DESIGN: a capture never harms the source).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent.plan import held, history
from agent.plan.checkpoint import CheckpointView
from agent.plan.fit import Here, fitting
from agent.plan.freeze import estimated_seconds, tolerated_seconds
from agent.plan.pod import PodView
from agent.plan.start import identity_differs, unreadable
from chrek import errors

REPLACED_BECAUSE: Final = frozenset(
    error.reason
    for error in (
        errors.DamagedError, errors.FormatError, errors.NotFoundError, errors.TrustError,
        errors.UnsignedError, errors.ForgedError, errors.UntrustedKeyError, errors.ForeignError,
        errors.ExceedsError,
    )
)  # fmt: skip
"""Reasons of a cold start that condemn what is stored: it is made anew in the same place."""
ANOTHER_BECAUSE: Final = frozenset(
    (
        errors.ArchitectureError.reason, errors.CPUFeaturesError.reason,
        "GPUProductDiffers", "DriverDiffers",
    )
)  # fmt: skip
"""Reasons that only the engine knows, for which another variant is made beside the stored one.

Others (other mounts, CRIU that fails) would give the same again: every pod that starts would
replace what the one before it made.
"""
_ROOM_SECONDS: Final = 300.0
_DELETED_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """Take the lease and capture. replace: whatever lies there of this variant is no good; also
    what no status names, since its agent died before it could write one.
    """

    replace: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after `seconds`, or when the Checkpoint has changed."""

    seconds: float
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Not this container, as things are: ask again when the pod or the Checkpoint has changed."""

    reason: str
    message: str


def attempt(
    pod: PodView,
    checkpoint: CheckpointView | None,
    here: Here,
    now: datetime,
    *,
    node: str,
    cold_because: str,
    estimate_bytes: int,
    claim_bytes_used: int,
    claim_bytes_limit: int,
    siblings: Sequence[CheckpointView],
) -> Attempt | Wait | Refuse:
    """For a pod that is warm.

    cold_because: reason of this container's cold start; empty if it was restored. estimate_bytes:
    what the source has in memory; 0 if unknown. claim_bytes_limit: 0 for no bound. siblings: all
    Checkpoints of the pod's workload.
    """
    no = _of_pod(pod) or (checkpoint and _of_checkpoint(pod, checkpoint, here, cold_because))
    if no:
        return no
    if later := checkpoint and _later(pod, checkpoint, now, node):
        return later
    fits = fitting(checkpoint, here) if checkpoint else []
    is_condemned = cold_because in REPLACED_BECAUSE
    replaced = [each for each in fits if is_condemned or each.phase != "Ready"]
    left_bytes = claim_bytes_used - sum(each.size_bytes for each in replaced)
    no = (
        _of_history(pod, checkpoint, siblings, now)
        or _of_liveness(pod, estimate_bytes)
        or _of_room(estimate_bytes, left_bytes, claim_bytes_limit)
    )
    if no:
        return no
    return Attempt(replace=len(replaced) == len(fits))


def _of_pod(pod: PodView) -> Refuse | None:
    if not pod.wrapped:
        return Refuse("NotTakenOn", "the pod is not one that chrek took on")
    if pod.wish is None or pod.checkpoint_id is None:
        why = unreadable(pod)
        return Refuse(why.reason, why.message)
    if pod.deleting or pod.ended:
        return Refuse("PodDeleting", "the pod is being deleted, or has ended")
    return None


def _of_checkpoint(
    pod: PodView, checkpoint: CheckpointView, here: Here, cold_because: str
) -> Refuse | Wait | None:
    name = checkpoint.name
    if checkpoint.deleting:
        return Wait(
            _DELETED_SECONDS, "CheckpointDeleted", f"checkpoint {name} is still being deleted"
        )
    if identity_differs(pod, checkpoint):
        return Refuse(
            "IdentityDiffers",
            f"checkpoint {name} was made from a pod that is not like this one. Name another one, "
            f"or: kubectl delete checkpoint {name}",
        )
    ready = [each for each in fitting(checkpoint, here) if each.phase == "Ready"]
    if ready and not _is_no_good(ready[0].created, pod, cold_because):
        return Refuse(
            "AlreadyCheckpointed", f"variant {ready[0].name} of checkpoint {name} fits this pod"
        )
    if checkpoint.lease and checkpoint.lease.failures >= held.MOST_FAILURES:
        return Refuse(
            "CaptureFailed",
            f"capturing for checkpoint {name} failed {checkpoint.lease.failures} times in a row "
            f"and is not tried again. Why: kubectl describe checkpoint {name}. Once that is "
            f"mended: kubectl delete checkpoint {name}",
        )
    return None


def _is_no_good(published: datetime, pod: PodView, cold_because: str) -> bool:
    """Whether this container's start says that the fitting variant does not do.

    One that was published since the container started is not the one that was tried: of ten pods
    that found the same damage, one makes it anew.
    """
    container = pod.chosen
    since = container.running_since if container else None
    is_the_one = since is None or published <= since
    return is_the_one and cold_because in REPLACED_BECAUSE | ANOTHER_BECAUSE


def _later(pod: PodView, checkpoint: CheckpointView, now: datetime, node: str) -> Wait | None:
    lease = checkpoint.lease
    seconds = held.wait_seconds(lease, now, node=node, pod=pod)
    if lease is None or not seconds:
        return None
    if held.is_held(lease, now) and not held.is_own(lease, node, pod):
        return Wait(
            seconds, "BeingCaptured", f"pod {lease.pod_name} on node {lease.node} is captured"
        )
    return Wait(seconds, "CaptureBackoff", f"the last capture failed; next in {seconds:.0f} s")


def _of_history(
    pod: PodView,
    checkpoint: CheckpointView | None,
    siblings: Sequence[CheckpointView],
    now: datetime,
) -> Refuse | None:
    is_named = checkpoint is not None and not checkpoint.auto
    if is_named or pod.checkpoint_id != pod.identity or not history.never_restored(siblings, now):
        return None
    return Refuse(
        "NeverRestored",
        f"the last {history.IN_A_ROW} checkpoints of {pod.workload} were never restored. To have "
        "one all the same, give it a name instead of auto, or delete the old ones",
    )


def _of_liveness(pod: PodView, estimate_bytes: int) -> Refuse | None:
    container = pod.chosen
    if container is None or container.liveness is None:
        return None
    frozen = estimated_seconds(estimate_bytes)
    borne = tolerated_seconds(container.liveness)
    if frozen <= borne:
        return None
    probe = container.liveness
    return Refuse(
        "FreezeExceedsLiveness",
        f"capturing would hold container {container.name} still for about {frozen:.1f} s, and its "
        f"liveness probe ends it after {borne:.0f} s (failureThreshold {probe.failure_threshold}, "
        f"periodSeconds {probe.period_seconds}, timeoutSeconds {probe.timeout_seconds}). Raise "
        "failureThreshold or periodSeconds",
    )


def _of_room(estimate_bytes: int, used: int, limit: int) -> Refuse | Wait | None:
    """Only what could never fit is refused: retention makes room for the rest."""
    if not limit or used + estimate_bytes <= limit:
        return None
    message = (
        f"the claim may hold {limit} bytes of checkpoints, {max(used, 0)} are there, and this one "
        f"needs about {estimate_bytes}. Raise agent.claimBytes, or delete checkpoints"
    )
    if estimate_bytes > limit:
        return Refuse("ClaimFull", message)
    return Wait(_ROOM_SECONDS, "ClaimFull", message)
