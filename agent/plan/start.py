"""A container has started and waits for a word: is it restored, or does it start cold?"""

import math
from dataclasses import dataclass
from typing import Final

from agent.plan.checkpoint import CheckpointView
from agent.plan.fit import Here, differences, fitting
from agent.plan.pod import PodView
from chrek.pods.wish import Wish

MOST_FAILURES: Final = 3
"""Failed restores of one pod in a row; then it starts cold."""
SHORTEST_TIMEOUT_SECONDS: Final = 2
LONGEST_TIMEOUT_SECONDS: Final = 300
"""Of a restore whose timeout nobody wrote; admission counts the same way."""


@dataclass(frozen=True, slots=True)
class Cold:
    """The command starts. reason: for events and metrics; message: a sentence for a person."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """The container ends with 0: its only task, a checkpoint, is there already."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Restore:
    """variants: best first. After timeout_seconds the command is started instead."""

    variants: tuple[str, ...]
    timeout_seconds: float


def at_start(
    pod: PodView, checkpoint: CheckpointView | None, here: Here, *, failed_restores: int
) -> Cold | Restore | Done:
    """For the chosen container of `pod`. failed_restores: of this pod, in a row.

    With on-failure `fail` a pod fails as often as it is restarted: that was asked for.
    """
    wish = pod.wish
    if wish is None or pod.checkpoint_id is None:
        return unreadable(pod)
    if checkpoint is None or checkpoint.problem:
        return Cold(
            "NoCheckpoint",
            f"there is no checkpoint {pod.checkpoint_id} yet; it is made once this pod is warm",
        )
    return _unusable(pod, checkpoint) or _of_variants(
        pod, wish, checkpoint, here, failed_restores=failed_restores
    )


def unreadable(pod: PodView) -> Cold:
    """Of a pod that was taken on and whose annotations now say nothing, or nothing sensible."""
    if pod.problem:
        return Cold("InvalidAnnotation", f"{pod.problem}; correct the pod template or namespace")
    return Cold("NotAsked", "the pod's annotation chrek.io/checkpoint was removed")


def identity_differs(pod: PodView, checkpoint: CheckpointView) -> bool:
    """Whether `checkpoint` is of pods that are not like this one."""
    return checkpoint.identity not in ("", pod.identity)


def _unusable(pod: PodView, checkpoint: CheckpointView) -> Cold | None:
    name = checkpoint.name
    if checkpoint.deleting:
        return Cold(
            "CheckpointDeleted",
            f"checkpoint {name} is being deleted; another is made once this pod is warm",
        )
    if identity_differs(pod, checkpoint):
        return Cold(
            "IdentityDiffers",
            f"checkpoint {name} was made from a pod with another image, command, environment, "
            f"mounts, GPUs or user. Name another one, or: kubectl delete checkpoint {name}",
        )
    if not checkpoint.variants and checkpoint.phase == "Pending" and not _has_failed(checkpoint):
        return Cold("NoCheckpoint", f"Checkpoint {name} is made once this pod is warm")
    if not checkpoint.variants:
        return Cold(
            "CheckpointNotReady",
            f"checkpoint {name} is {checkpoint.phase}, with nothing to restore from. Why: kubectl "
            f"describe checkpoint {name}",
        )
    return None


def _of_variants(
    pod: PodView, wish: Wish, checkpoint: CheckpointView, here: Here, *, failed_restores: int
) -> Cold | Restore | Done:
    variants = [each.name for each in fitting(checkpoint, here) if each.phase == "Ready"]
    if not variants:
        return _none_fits(checkpoint, here)
    if wish.after_checkpoint == "exit" and pod.restart_policy != "Always":
        return Done("AlreadyCheckpointed", f"checkpoint {checkpoint.name} is there already")
    if failed_restores >= MOST_FAILURES and wish.on_failure != "fail":
        return Cold(
            "TooManyFailures",
            f"{failed_restores} restores of this pod failed in a row; the events before this one "
            f"say why. To have it made anew: kubectl delete checkpoint {checkpoint.name}",
        )
    return Restore(tuple(variants), _timeout_seconds(wish.restore_timeout_seconds, checkpoint))


def _has_failed(checkpoint: CheckpointView) -> bool:
    return checkpoint.lease is not None and checkpoint.lease.failures > 0


def _none_fits(checkpoint: CheckpointView, here: Here) -> Cold:
    name = checkpoint.name
    if fitting(checkpoint, here) or not checkpoint.ready:
        return Cold(
            "CheckpointDamaged",
            f"what is stored of checkpoint {name} is damaged and is not restored; it is made "
            f"anew once this pod is warm. Details: kubectl describe checkpoint {name}",
        )
    newest = checkpoint.ready[0]
    return Cold(
        "NoVariantFits",
        f"checkpoint {name} has nothing that fits here. Variant {newest.name}, the newest, "
        f"differs in {' and '.join(differences(newest, here))}. Another is made once this pod is "
        "warm",
    )


def _timeout_seconds(asked: int | None, checkpoint: CheckpointView) -> float:
    if asked is not None:
        return float(max(asked, SHORTEST_TIMEOUT_SECONDS))
    recorded = checkpoint.cold_start_seconds
    if recorded is None:
        return float(LONGEST_TIMEOUT_SECONDS)
    return float(min(max(math.ceil(recorded), SHORTEST_TIMEOUT_SECONDS), LONGEST_TIMEOUT_SECONDS))
